"""Devices that were registered before they first called: by serial number, with a key or a secret.

Each row lets one device in, which counts as a voter by itself: somebody vouched for it alone.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, Forbidden, Invalid, Unauthenticated
from cloud_hub.fleet.grants import Grant
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.fleet.tables import registered_serials
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.fleet import check_attributes, check_hex, check_models, check_serial

log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 10_000
SECRET_CHARACTERS: Final = (16, 256)
"""Shortest and longest one-time secret: shorter ones can be guessed."""


@dataclass(frozen=True)
class SerialEntry:
    """A device to be let in.

    Attributes:
        serial: its serial number.
        public_key: Ed25519 key in hexadecimal, if its key was made in the factory.
        secret: one-time secret, if somebody else has it already.

    Raises:
        Invalid: the serial, the key or the secret is none, or it has both.
    """

    serial: str
    public_key: str | None = None
    secret: str | None = None

    def __post_init__(self) -> None:
        try:
            check_serial(self.serial)
            if self.public_key is not None:
                check_hex(f"{self.serial}: public_key", self.public_key, 32)
        except ContractError as error:
            raise Invalid(str(error)) from error
        if self.public_key is not None and self.secret is not None:
            raise Invalid(f"{self.serial}: expected a public key or a secret, got both")
        if self.secret is not None and not _is_secret(self.secret):
            least, most = SECRET_CHARACTERS
            raise Invalid(f"{self.serial}: secret: expected {least} to {most} printable characters")


@dataclass(frozen=True)
class Registration:
    """Devices that are registered together, with the models and attributes that they will have.

    Raises:
        Invalid: a name is none, there are too many, or a serial is there twice.
    """

    models: tuple[str, ...]
    entries: Sequence[SerialEntry]
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            check_models(self.models)
            check_attributes(self.attributes)
        except ContractError as error:
            raise Invalid(str(error)) from error
        if not self.models:
            raise Invalid("models: expected at least one")
        if not 1 <= len(self.entries) <= MOST_AT_ONCE:
            raise Invalid(f"serials: expected 1 to {MOST_AT_ONCE}, got {len(self.entries)}")
        for name in ("serial", "public_key"):
            values = (getattr(entry, name) for entry in self.entries)
            counts = Counter(value for value in values if value is not None)
            twice = next((value for value, count in counts.items() if count > 1), None)
            if twice is not None:
                raise Invalid(f"{name} {twice}: is there twice")


class RegisteredSerials:
    """The registered devices of one hub.

    Args:
        engine: of the hub's database.
        audit: where they are noted.
    """

    def __init__(self, engine: Engine, audit: Audit) -> None:
        self._engine = engine
        self._audit = audit

    def register(self, registration: Registration, *, actor: str) -> list[SerialEntry]:
        """Register devices; those with neither key nor secret are given a secret.

        A serial that was registered and has not joined yet is registered anew: what was given out
        for it before is void.

        Args:
            registration: the devices.
            actor: who vouches for them.

        Returns:
            The entries, with the secrets that were made; they are not stored.

        Raises:
            Conflict: a device with one of the serials, or of the keys, has joined already.
        """
        entries = [_with_secret(entry) for entry in registration.entries]
        t, now = registered_serials.c, time.time()
        with transaction(self._engine) as db:
            for entry in entries:
                taken = (t.serial == entry.serial) | (
                    t.public_key.is_not(None) & (t.public_key == entry.public_key)
                )
                row = db.execute(select(registered_serials).where(taken)).mappings().first()
                if row is not None and (row["device"] or row["serial"] != entry.serial):
                    raise Conflict(_taken(entry, row["serial"], row["device"]))
                db.execute(delete(registered_serials).where(t.serial == entry.serial))
                values = {
                    "serial": entry.serial, "models": list(registration.models),
                    "public_key": entry.public_key,
                    "secret": digest(entry.secret) if entry.secret else None,
                    "attributes": dict(registration.attributes), "registered_at": now,
                    "registered_by": actor,
                }  # fmt: skip
                db.execute(insert(registered_serials).values(**values))
            noted = {"count": len(entries), "serials": [e.serial for e in entries[:20]]}
            for model in registration.models:
                self._audit.record(actor, "register", model, noted)
        return entries

    def use(
        self,
        db: Connection,
        serial: str,
        models: Sequence[str],
        public_key: str,
        secret: str | None,
        *,
        device: str | None = None,
    ) -> Grant:
        """Let the device of a serial number in, as part of a transaction.

        Args:
            db: the transaction.
            serial: that it says it has.
            models: whose fleets it wants to join; none for all that it is registered for.
            public_key: whose possession it proved.
            secret: one-time secret; ``None`` if it sent none.
            device: its name, if it has joined before.

        Raises:
            Unauthenticated: no such serial, or a wrong key or secret; it does not say which.
            Forbidden: a device has joined with it, or it is registered for another model.
        """
        t = registered_serials.c
        row = db.execute(select(registered_serials).where(t.serial == serial)).mappings().first()
        if row is None or not _proves(row["public_key"], row["secret"], public_key, secret):
            names = ", ".join(models) or "any model"
            log.warning("a device was not enrolled for %s: not registered, or no proof", names)
            # One answer for both: a stranger learns no serial numbers.
            raise Unauthenticated(
                "serial: not registered here, or with another key or secret; see edge-hub devices "
                "register"
            )
        registered = tuple(row["models"])
        other = next((name for name in models if name not in registered), None)
        if other is not None:
            names = ", ".join(registered)
            raise Forbidden(f"serial {serial}: is registered for {names}, not for {other}")
        if row["device"] not in (None, device):
            raise Forbidden(
                f"serial {serial}: has joined as {row['device']}; forget that device and register "
                "the serial again to let another one in"
            )
        granted = tuple(models) or registered
        return Grant(f"serial:{serial}", granted, None, row["attributes"], serial=serial)

    def joined(self, db: Connection, serial: str, device: str) -> None:
        """Note who joined with a serial number: nobody else can."""
        change = update(registered_serials).where(registered_serials.c.serial == serial)
        db.execute(change.values(device=device))


def _proves(key: str | None, secret: str | None, shown: str, told: str | None) -> bool:
    if key is not None:
        return hmac.compare_digest(key, shown)
    return told is not None and secret is not None and hmac.compare_digest(secret, digest(told))


def _with_secret(entry: SerialEntry) -> SerialEntry:
    if entry.public_key is not None or entry.secret is not None:
        return entry
    return replace(entry, secret=f"enrol_{secrets.token_urlsafe(24)}")


def _is_secret(text: str) -> bool:
    least, most = SECRET_CHARACTERS
    return text.isascii() and text.isprintable() and least <= len(text) <= most


def _taken(entry: SerialEntry, serial: str, device: str | None) -> str:
    if device is not None:
        return f"serial {serial}: has joined as {device}; edge-hub devices forget {device} frees it"
    return f"{entry.serial}: its public key is registered for serial {serial}"
