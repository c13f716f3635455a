"""Enrolment, credentials, check-in and cloud prediction: the rest of the conversation with the hub.

``POST /v1/enrol`` (enrolment token, or a registered serial) -> :class:`EnrolReply`, then
``POST /v1/credentials`` -> :class:`CredentialReply`. Both are signed with the device's Ed25519 key,
whose private half never travels. Everything after carries the credential as ``Authorization:
Bearer`` until it expires. Signed metadata and targets are files under ``/v1/metadata/`` and
``/v1/targets/``.

Invariant: what a signature covers begins with its purpose, so that none can be used for another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import (
    ATTRIBUTES,
    LATEST,
    LOG_CHARACTERS,
    LOG_LINES,
    MODELS,
    NAME_CHARACTERS,
)
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.names import check_name
from edge_sdk.contract.version import PROTOCOL

Standing = Literal["active", "pending", "revoked", "cloned", "unknown"]
"""How a hub sees an identity. ``pending`` waits for approval; ``cloned`` was used by two copies of
one device, or by one that was restored from a backup; ``unknown`` is not, or no longer, there.
"""

LONGEST_CREDENTIAL: Final = 31 * 86_400.0
"""Seconds that a credential may last."""

LONGEST_INTERVAL: Final = 31 * 86_400.0
"""Seconds from one contact of a device to the next."""

GENERATIONS: Final = 2**31 - 1
"""The largest generation: one an hour for 245,000 years."""

_SERIAL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/+-]{0,62}[A-Za-z0-9])?")
_HEX: Final = re.compile(r"[0-9a-f]+")


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse device attributes that are not texts by name, too many, or too long.

    Raises:
        ContractError: the message names the attribute.
    """
    texts = isinstance(attributes, Mapping) and all(
        isinstance(text, str) for item in attributes.items() for text in item
    )
    require(
        texts,
        f"attributes: expected texts by name, such as {{'region': 'eu'}}; got {attributes!r:.60}",
    )
    require(len(attributes) <= ATTRIBUTES, f"attributes: expected at most {ATTRIBUTES}")
    for name, value in attributes.items():
        check_name("attributes", name)
        fits = len(value) <= NAME_CHARACTERS
        require(fits, f"attributes.{name}: expected at most {NAME_CHARACTERS} characters")
        # A NUL is no text for every database, and half a surrogate pair none for any encoding.
        require(value.isprintable(), f"attributes.{name}: expected printable characters")


def check_models(models: Sequence[str]) -> None:
    """Refuse names of models that are none, too many, or there twice.

    Raises:
        ContractError: the message says which.
    """
    require(not isinstance(models, str), f"models: expected a list of names, got {models!r:.60}")
    require(len(models) <= MODELS, f"models: expected at most {MODELS}, got {len(models)}")
    for name in models:
        check_name("model", name)
    require(len(set(models)) == len(models), f"models: expected each once, got {list(models)}")


def check_hex(what: str, text: str, size: int) -> None:
    """Refuse a text that is not ``size`` bytes in lower-case hexadecimal digits.

    Raises:
        ContractError: the message begins with ``what``.
    """
    fits = len(text) == 2 * size and _HEX.fullmatch(text) is not None
    require(fits, f"{what}: expected {2 * size} hexadecimal digits, got {text[:80]!r}")


def check_serial(serial: str) -> None:
    """Refuse a serial number that is not safe in a CSV file, a URL's query and a log.

    Raises:
        ContractError: it is too long or has other characters.
    """
    require(
        _SERIAL.fullmatch(serial) is not None,
        "serial: expected 1 to 64 of letters, digits and . _ : / + -, beginning and ending with a "
        f"letter or digit, got {serial!r:.80}",
    )


@dataclass(frozen=True)
class EnrolRequest:
    """A device asks to join the fleets of ``models``, as a new one or with more models than before.

    Attributes:
        models: whose fleets it joins; none for all those that the token or the serial is for.
        public_key: Ed25519 key of the device, 32 bytes in hexadecimal.
        signature: over :func:`enrolment_bytes`, 64 bytes in hexadecimal; it proves possession.
        attributes: text by name, for cohorts; what the hub fixed for the token wins.
        serial: serial number, if the device was registered by one.
        protocol: version of this conversation.
    """

    models: tuple[str, ...] = ()
    public_key: str = ""
    signature: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    serial: str | None = None
    protocol: int = PROTOCOL

    def __post_init__(self) -> None:
        check_models(self.models)
        check_attributes(self.attributes)
        if self.serial is not None:
            check_serial(self.serial)
        # An older device sends other fields: it is refused by its protocol, not by one of them.
        if self.protocol == PROTOCOL:
            check_hex("public_key", self.public_key, 32)
            check_hex("signature", self.signature, 64)


def enrolment_bytes(
    token: str | None,
    models: Sequence[str],
    public_key: str,
    attributes: Mapping[str, str],
    serial: str | None,
) -> bytes:
    """Return the bytes that a device signs to enrol.

    Args:
        token: enrolment token or one-time secret that goes with it; ``None`` for none.
        models: whose fleets it joins.
        public_key: of the device, hexadecimal.
        attributes: as in the request.
        serial: as in the request.
    """
    return _purposeful("enrol", token, list(models), public_key, dict(attributes), serial)


@dataclass(frozen=True)
class EnrolReply:
    """The hub takes a device in, or has it wait.

    Attributes:
        device: its name.
        root: ``root.json``, from which its trust starts, as text.
        models: all whose fleets it is in.
        attributes: those that the hub fixed; the device cannot choose others.
        standing: ``active``, or ``pending`` until somebody approves it.
    """

    device: str
    root: str
    models: tuple[str, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    standing: Standing = "active"

    def __post_init__(self) -> None:
        check_models(self.models)
        check_attributes(self.attributes)


@dataclass(frozen=True)
class CredentialRequest:
    """A device asks for a credential.

    Generations form a chain that only one copy of a device can walk: see
    ``cloud_hub/fleet/credential_chain.py``.

    Attributes:
        device: its name.
        generation: number of credentials that it has had, from 0.
        nonce: 16 random bytes in hexadecimal, on the device's disk before they are sent.
        signature: over :func:`credential_bytes`, 64 bytes in hexadecimal.
    """

    device: str
    generation: int
    nonce: str
    signature: str

    def __post_init__(self) -> None:
        check_name("device", self.device)
        fits = 0 <= self.generation < GENERATIONS
        require(fits, f"generation: expected 0 to {GENERATIONS - 1}, got {self.generation}")
        check_hex("nonce", self.nonce, 16)
        check_hex("signature", self.signature, 64)


def credential_bytes(device: str, generation: int, nonce: str) -> bytes:
    """Return the bytes that a device signs to get a credential; arguments as in the request."""
    return _purposeful("credential", device, generation, nonce)


@dataclass(frozen=True)
class CredentialReply:
    """A short-lived credential; ``seconds`` count from now, on the device's monotonic clock."""

    credential: str
    seconds: float

    def __post_init__(self) -> None:
        fits = 0 < self.seconds <= LONGEST_CREDENTIAL
        require(fits, f"seconds: expected above 0, at most {LONGEST_CREDENTIAL:g}")


def _purposeful(purpose: str, *content: object) -> bytes:
    """Return canonical bytes to sign: what for, and the content, in an order that is fixed."""
    text = json.dumps([f"edge-{purpose}-1", *content], sort_keys=True, separators=(",", ":"))
    return text.encode()


@dataclass(frozen=True)
class ReportedState:
    """The state of one model on a device.

    Attributes:
        version: that serves; ``None`` before the first one.
        plan: serial of the plan that is followed; 0 for none.
        pack: SHA-256 of its pack of answers.
        features: SHA-256 of its pack of features.
        phase: of its update.
        failed: releases that failed there.
        holds: versions that are ready there besides ``version``.
        runs_on: runtime, variant and provider of what serves, and what was refused there.
    """

    version: str | None = None
    plan: int = 0
    pack: str | None = None
    features: str | None = None
    phase: str = "idle"
    failed: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    runs_on: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckIn:
    """``POST /v1/checkin``: state of the device and of all its models. Sent on change and as a
    heartbeat.

    Attributes:
        models: state of each, by name.
        attributes: for cohorts; what the hub fixed wins.
        waiting: messages in its outbox.
        sharing: its owner agreed to share rows.
        software: versions of its operating system, runtime and SDK.
        interval: seconds from one of its contacts with the hub to the next, as things are now; it
            is missed by that. ``None`` if it comes when it likes.
        protocol: version of this conversation.
    """

    models: Mapping[str, ReportedState] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    waiting: int = 0
    sharing: bool = False
    software: Mapping[str, str] = field(default_factory=dict)
    interval: float | None = None
    protocol: int = PROTOCOL

    def __post_init__(self) -> None:
        check_models(tuple(self.models))
        check_attributes(self.attributes)
        interval = self.interval
        fits = interval is None or 0 < interval <= LONGEST_INTERVAL
        require(fits, f"interval: expected above 0, at most {LONGEST_INTERVAL:g} s, got {interval}")


Ask = Literal["logs", "sync"]
"""What a hub may ask of one device: its newest log lines, or to sync at once."""


@dataclass(frozen=True)
class DeviceLogLine:
    """One line of a device's log; ``at`` in Unix seconds by its clock."""

    at: float
    level: str
    logger: str
    message: str

    def __post_init__(self) -> None:
        require(0 <= self.at <= LATEST, f"at: expected Unix seconds, got {self.at}")
        fits = len(self.message) <= LOG_CHARACTERS and len(self.level + self.logger) <= 100
        require(fits, f"message: expected at most {LOG_CHARACTERS} characters")


@dataclass(frozen=True)
class DeviceLog:
    """``POST /v1/device-log``: the newest lines of a device's log, since its hub asked for them.

    Attributes:
        allowed: its owner lets it send them; there are none where not.
        lines: the newest, oldest first.
    """

    allowed: bool
    lines: tuple[DeviceLogLine, ...] = ()

    def __post_init__(self) -> None:
        require(len(self.lines) <= LOG_LINES, f"lines: expected at most {LOG_LINES}")
        require(self.allowed or not self.lines, "lines: expected none where they are not allowed")


@dataclass(frozen=True)
class CloudRequest:
    """``POST /v1/predict``: one row for the model's cloud model, columns in manifest order."""

    model: str
    version: str
    row: tuple[float | int | str | None, ...]


@dataclass(frozen=True)
class CloudReply:
    """The cloud model's answer; ``probabilities`` follow the classes of the device's release."""

    version: str
    label: Label | None = None
    probabilities: tuple[float, ...] = ()
    value: float | None = None
