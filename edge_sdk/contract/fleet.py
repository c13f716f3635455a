"""Enrolment, check-in and cloud prediction: the rest of the conversation with the hub.

``POST /v1/enrol`` (enrolment token) -> :class:`EnrolReply`; everything after carries the device
token as ``Authorization: Bearer``. Signed metadata and targets are plain files under
``/v1/metadata/`` and ``/v1/targets/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_sdk.contract.errors import require
from edge_sdk.contract.limits import ATTRIBUTES, NAME_CHARACTERS
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.names import check_name
from edge_sdk.contract.version import PROTOCOL


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


@dataclass(frozen=True)
class EnrolRequest:
    """A new device asks to join the fleet of ``model``."""

    model: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def __post_init__(self) -> None:
        check_name("model", self.model)
        check_attributes(self.attributes)


@dataclass(frozen=True)
class EnrolReply:
    """Identity of the device and the root of its trust (``root`` is ``root.json`` as text)."""

    device: str
    token: str
    root: str


@dataclass(frozen=True)
class CheckIn:
    """``POST /v1/checkin``: state of the device. Sent on change and as a heartbeat.

    ``holds`` are versions that are ready on the device besides ``version``.
    """

    model: str
    version: str | None
    plan: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    pack: str | None = None
    features: str | None = None
    phase: str = "idle"
    failed: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    waiting: int = 0
    sharing: bool = False
    software: Mapping[str, str] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def __post_init__(self) -> None:
        check_name("model", self.model)
        check_attributes(self.attributes)


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
