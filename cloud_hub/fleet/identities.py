"""Identities of devices: their keys, their credentials, and who is stopped.

Invariants:

* A credential is given to whoever signs with the device's key and walks the chain of its requests
  (:mod:`cloud_hub.fleet.credential_chain`); the one before is void from then on.
* Two copies of one identity are both stopped: nobody here can tell which is the right one.
* A device that is stopped keeps what it has: the hub takes nothing from it and gives it nothing.
"""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, Engine, RowMapping, insert, select, update

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import afterwards, transaction
from cloud_hub.errors import Conflict, HubFault, IdentityStopped, NotFound, Unauthenticated
from cloud_hub.fleet.credential_chain import ANYWHERE, ChainPosition
from cloud_hub.fleet.grants import Grant
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.fleet.tables import devices, identities
from edge_sdk.contract.fleet import CredentialReply, CredentialRequest, credential_bytes

log = logging.getLogger(__name__)

CREDENTIAL_SECONDS: Final = 3_600.0
ATTEMPTS: Final = 5
"""Requests of one device that may overtake each other before one is refused."""

CLOCK_SLACK: Final = 60.0
"""Seconds that the hub's clock may have been set back before a credential is taken for expired."""


@dataclass(frozen=True)
class IdentityRecord:
    """An identity as the hub keeps it.

    Attributes:
        device: its name.
        standing: ``active``, ``pending``, ``revoked`` or ``cloned``.
        reason: why it is not active.
        public_key: in hexadecimal; ``None`` on a device of 0.1.
        enrolled_by: what it joined with: ``token:ID`` or ``serial:SN``.
        vouched_by: who counts as one voter together with it.
        serial: its serial number, if it was registered by one.
        attributes: that it cannot choose otherwise.
    """

    device: str
    standing: str
    reason: str | None
    public_key: str | None
    enrolled_by: str
    vouched_by: str
    serial: str | None
    attributes: dict[str, str]


class Identities:
    """The identities of one hub.

    Args:
        engine: of the hub's database.
        audit: where alarms and decisions are noted.
        seconds: life of a credential.
        changed: called with the name of a device whose credential or standing is another one now,
            once that is on disk.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        seconds: float = CREDENTIAL_SECONDS,
        changed: Callable[[str], object] = lambda device: None,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self.seconds = seconds
        self._changed = changed

    def add(self, db: Connection, device: str, public_key: str, grant: Grant) -> IdentityRecord:
        """Add the identity of a new device, as part of a transaction.

        Args:
            db: the transaction.
            device: its name.
            public_key: whose possession it proved, hexadecimal.
            grant: what lets it in.
        """
        standing = "pending" if grant.approve else "active"
        values = {
            "device": device, "public_key": public_key, "standing": standing,
            "reason": "waits for approval" if grant.approve else None,
            "changed_at": time.time(), "enrolled_by": grant.by,
            "vouched_by": grant.vouched_by or device, "serial": grant.serial,
            "attributes": dict(grant.attributes), "generation": 0,
        }  # fmt: skip
        db.execute(insert(identities).values(**values))
        return IdentityRecord(**{n: values[n] for n in IdentityRecord.__dataclass_fields__})  # type: ignore[arg-type]

    def of_key(self, db: Connection, public_key: str) -> IdentityRecord | None:
        """Return the identity with a public key."""
        query = select(identities).where(identities.c.public_key == public_key)
        row = db.execute(query).mappings().first()
        return None if row is None else _record(row)

    def named(self, db: Connection, device: str) -> IdentityRecord | None:
        """Return the identity of a device, as part of a transaction; ``None`` if there is none."""
        row = db.execute(_of(device)).mappings().first()
        return None if row is None else _record(row)

    def get(self, device: str) -> IdentityRecord:
        """Return the identity of a device; raises NotFound."""
        with self._engine.connect() as db:
            return _record(_row(db, device))

    def models_of(self, device: str) -> list[str]:
        """Return the models that a device is enrolled for; raises NotFound."""
        query = select(devices.c.model).where(devices.c.device == device)
        with self._engine.connect() as db:
            _row(db, device)
            return list(db.execute(query).scalars())

    def new_credential(self, request: CredentialRequest) -> CredentialReply:
        """Give a device a credential; the one that it had is void.

        Raises:
            Unauthenticated: no such device, or not signed with its key.
            IdentityStopped: it is pending, revoked or cloned; or this request shows that it is.
        """
        for _ in range(ATTEMPTS):
            reply = self._try_credential(request)
            if reply is not None:
                return reply
        raise Conflict(f"device {request.device}: asks for several credentials at once")

    def _try_credential(self, request: CredentialRequest) -> CredentialReply | None:
        """One attempt; ``None`` if another request of the device came in between."""
        with self._engine.connect() as db:
            row = db.execute(_of(request.device)).mappings().first()
        if row is None or row["public_key"] is None:
            raise Unauthenticated(
                f"device {request.device}: unknown to this hub; enrol it again: edge enrol STATE "
                "--again",
                "unknown",
            )
        signed = credential_bytes(request.device, request.generation, request.nonce)
        check_signature(row["public_key"], request.signature, signed)
        refuse_stopped(_record(row))
        position = ChainPosition(row["generation"], row["nonce"])
        step = position.step(request.generation, request.nonce)
        if step == "clone":
            raise self._stop_copies(row, request)
        if step == "ahead":
            log.warning(
                "device %s had %d credentials, this hub knows of %d: was the hub restored from a "
                "backup?", request.device, request.generation, position.generation,
            )  # fmt: skip
        after = position if step == "repeat" else position.after(request.generation, request.nonce)
        credential = secrets.token_urlsafe(24)
        values = {
            "generation": after.generation, "nonce": after.nonce,
            "credential": digest(credential), "credential_at": time.time(),
        }  # fmt: skip
        with self._engine.begin() as db:
            if db.execute(_unmoved(row).values(**values)).rowcount != 1:
                return None
        self._changed(request.device)
        return CredentialReply(credential, self.seconds)

    def _stop_copies(self, row: RowMapping, request: CredentialRequest) -> HubFault:
        device = request.device
        reason = (
            f"credential {request.generation} was asked for by two copies of this device, or by one"
            " that was restored from a backup"
        )
        with transaction(self._engine) as db:
            change = _unmoved(row).values(
                standing="cloned", reason=reason, changed_at=time.time(), credential=None
            )
            if db.execute(change).rowcount != 1:
                return Conflict(f"device {device}: asks for several credentials at once")
            detail = {"asked": request.generation, "expected": row["generation"]}
            self._audit.record(device, "cloned", None, detail)
            afterwards(self._engine, functools.partial(self._changed, device))
        log.warning("device %s: %s; it is stopped", device, reason)
        return _stopped("cloned", device)

    def approve(self, device: str, *, actor: str) -> IdentityRecord:
        """Let a device that waits, or was stopped, take part.

        Of a cloned one, the copy that asks next goes on; if a second one asks, both are stopped
        again.

        Raises:
            NotFound: there is no such device.
            Conflict: it is active already, or has no key.
        """
        with transaction(self._engine) as db:
            row = _row(db, device)
            if row["standing"] == "active":
                raise Conflict(f"device {device}: is active already")
            if row["public_key"] is None:
                raise Conflict(f"device {device}: has no key of its own; enrol it again")
            values: dict[str, Any] = {"standing": "active", "reason": None}
            if row["standing"] == "pending":
                values["vouched_by"] = device  # somebody looked at this one, and at it alone
            if row["standing"] == "cloned":
                values |= {"generation": ANYWHERE.generation, "nonce": ANYWHERE.nonce}
            self._change(db, device, values)
            self._audit.record(actor, "approve", None, {"device": device, "was": row["standing"]})
            return _record(_row(db, device))

    def revoke(self, device: str, *, reason: str, actor: str) -> IdentityRecord:
        """Stop a device: from now on it gets nothing, and what it sends does not count.

        Raises:
            NotFound: there is no such device.
            Conflict: it was revoked before.
        """
        with transaction(self._engine) as db:
            if _row(db, device)["standing"] == "revoked":
                raise Conflict(f"device {device}: was revoked before")
            self._change(db, device, {"standing": "revoked", "reason": reason, "credential": None})
            self._audit.record(actor, "revoke", None, {"device": device, "reason": reason})
            return _record(_row(db, device))

    def _change(self, db: Connection, device: str, values: dict[str, Any]) -> None:
        change = update(identities).where(identities.c.device == device)
        db.execute(change.values(changed_at=time.time(), **values))
        afterwards(self._engine, functools.partial(self._changed, device))

    def is_current(self, given_at: float, now: float) -> bool:
        """Return whether a credential of ``given_at`` is valid; both in Unix seconds."""
        # A clock that was set back must not make credentials last for as long as it was ahead.
        return -CLOCK_SLACK <= now - given_at < self.seconds


def check_signature(public_key: str, signature: str, signed: bytes) -> None:
    """Raise Unauthenticated unless a device signed this with its key.

    Args:
        public_key: hexadecimal.
        signature: hexadecimal.
        signed: the bytes.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), signed)
    except (InvalidSignature, ValueError):
        raise Unauthenticated("signature: not made with the device's key") from None


def refuse_stopped(identity: IdentityRecord) -> None:
    """Raise IdentityStopped unless an identity is active."""
    if identity.standing != "active":
        raise _stopped(identity.standing, identity.device)


def _stopped(standing: str, device: str) -> IdentityStopped:
    advice = {
        "pending": "waits for approval; edge-hub devices approve",
        "revoked": "was revoked; what it has goes on serving",
        "cloned": "its identity was used by two copies, or it was restored from a backup; give "
        "each copy a new one: edge enrol STATE --again; if there is only one: edge-hub devices "
        "approve",
    }  # fmt: skip
    return IdentityStopped(f"device {device}: {advice[standing]}", standing)


def _of(device: str) -> Any:
    return select(identities).where(identities.c.device == device)


def _row(db: Connection, device: str) -> RowMapping:
    row = db.execute(_of(device)).mappings().first()
    if row is None:
        raise NotFound(f"device {device:.40}: no such device; see edge-hub devices list")
    return row


def _unmoved(row: RowMapping) -> Any:
    """Return an update of an identity that changes nothing if its chain or standing has changed."""
    t = identities.c
    same_nonce = t.nonce.is_(None) if row["nonce"] is None else t.nonce == row["nonce"]
    return update(identities).where(
        t.device == row["device"], t.standing == row["standing"],
        t.generation == row["generation"], same_nonce,
    )  # fmt: skip


def _record(row: RowMapping) -> IdentityRecord:
    return IdentityRecord(**{name: row[name] for name in IdentityRecord.__dataclass_fields__})
