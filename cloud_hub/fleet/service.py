"""The fleet: its devices, and how each last said it is."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import metadata, transaction
from cloud_hub.database.records import DeviceRecord
from cloud_hub.errors import Conflict, Unauthenticated
from cloud_hub.fleet.grants import Grant
from cloud_hub.fleet.identities import (
    CREDENTIAL_SECONDS,
    Identities,
    IdentityRecord,
    check_signature,
    refuse_stopped,
)
from cloud_hub.fleet.replayed import ReplayedDevices
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.fleet.serials import RegisteredSerials
from cloud_hub.fleet.tables import devices, identities
from cloud_hub.fleet.tokens import EnrolmentTokens, TokenTerms
from edge_sdk.contract.fleet import CheckIn, EnrolReply, EnrolRequest, enrolment_bytes
from edge_sdk.contract.version import PROTOCOL

log = logging.getLogger(__name__)

OF_THE_IDENTITY: Final = ("standing", "reason", "enrolled_by", "vouched_by", "serial")


class Fleet:
    """Devices of all models.

    Args:
        engine: of the hub's database.
        audit: where enrolments are noted.
        root: first root of trust, as JSON; every new device gets it.
        credential_seconds: life of a device's credential.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        root: str,
        *,
        credential_seconds: float = CREDENTIAL_SECONDS,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._root = root
        self.tokens = EnrolmentTokens(engine, audit)
        self.serials = RegisteredSerials(engine, audit)
        self.identities = Identities(engine, audit, credential_seconds)
        self.replayed = ReplayedDevices(engine, self.identities)

    def new_token(self, model: str, *, uses: int, seconds: float, actor: str) -> str:
        """Make one token with which devices may join.

        The model need not be there yet: devices that join wait for its first version.

        Args:
            model: that the devices will serve.
            uses: number of devices that may join with it.
            seconds: from now until it expires.
            actor: who wants it.

        Raises:
            Invalid: the name is none, or a number is out of range.
        """
        ((_, token),) = self.tokens.make(TokenTerms(model, uses, seconds), actor=actor)
        return token

    def enrol(self, token: str | None, request: EnrolRequest) -> EnrolReply:
        """Let a device join, or tell one that joined before what it was told then.

        Args:
            token: enrolment token or one-time secret; ``None`` for a registered key alone.
            request: signed by the device.

        Raises:
            Unauthenticated: the signature, the token or the proof of the serial is wrong.
            Forbidden: the token is used up, expired, revoked, or for another model; says which.
            IdentityStopped: the device was revoked or cloned.
            Conflict: another protocol, or the device serves another model.
        """
        if request.protocol != PROTOCOL:
            raise Conflict(f"protocol: expected {PROTOCOL}, got {request.protocol}")
        text = enrolment_bytes(
            token, request.model, request.public_key, request.attributes, request.serial
        )
        check_signature(request.public_key, request.signature, text)
        try:
            identity = self._join(token, request)
        except IntegrityError:
            # The same request came twice at once; the other one was first.
            identity = self._join(token, request)
        return EnrolReply(
            identity.device, self._root, identity.attributes,
            "pending" if identity.standing == "pending" else "active",
        )  # fmt: skip

    def _join(self, token: str | None, request: EnrolRequest) -> IdentityRecord:
        with transaction(self._engine) as db:
            known = self.identities.of_key(db, request.public_key)
            if known is not None:
                self._check_known(db, known, request.model)
                return known
            grant = self._grant(db, token, request)
            device = f"d-{secrets.token_hex(6)}"
            identity = self.identities.add(db, device, request.public_key, grant)
            if grant.serial is not None:
                self.serials.joined(db, grant.serial, device)
            now = time.time()
            row = {
                "device": device, "model": request.model, "enrolled_at": now, "seen_at": now,
                "attributes": {**request.attributes, **grant.attributes}, "failed": [],
                "software": {},
            }  # fmt: skip
            db.execute(insert(devices).values(**row))
            # Not its attributes: the audit stays when a device is forgotten.
            noted = {"by": grant.by, "standing": identity.standing}
            self._audit.record(device, "enrol", request.model, noted)
        log.info("device %s enrolled for %s", device, request.model)
        return identity

    def _grant(self, db: Connection, token: str | None, request: EnrolRequest) -> Grant:
        if request.serial is not None:
            return self.serials.use(db, request.serial, request.model, request.public_key, token)
        if token is None:
            raise Unauthenticated("expected a header Authorization: Bearer TOKEN, or a serial")
        return self.tokens.use(db, token, request.model)

    def _check_known(self, db: Connection, known: IdentityRecord, model: str) -> None:
        """Refuse a device that joined before and may not go on, or wants another model."""
        if known.standing != "pending":
            refuse_stopped(known)
        query = select(devices.c.model).where(devices.c.device == known.device)
        serves = db.execute(query).scalar()
        if serves != model:
            raise Conflict(
                f"device {known.device}: serves {serves}, not {model}; a device of two models has "
                "a state folder for each"
            )

    def authenticate(self, credential: str) -> DeviceRecord:
        """Return the device that has this credential.

        Raises:
            Unauthenticated: nobody has it, or it expired.
            IdentityStopped: the device was stopped.
        """
        t = identities.c
        query = _devices().add_columns(t.credential_at).where(t.credential == digest(credential))
        with self._engine.connect() as db:
            row = db.execute(query).mappings().first()
        if row is None or not self.identities.is_current(row["credential_at"], time.time()):
            reason = "device credential: unknown or expired; ask for a new one"
            raise Unauthenticated(reason, guess=False)
        record = _record(row)
        if record.standing != "active":
            refuse_stopped(self.identities.get(record.device))
        return record

    def check_in(self, device: str, checkin: CheckIn) -> None:
        """Note how a device says it is; attributes that the hub fixed stay."""
        t = identities.c
        with self._engine.begin() as db:
            fixed = db.execute(select(t.attributes).where(t.device == device)).scalar() or {}
            row = {
                "seen_at": time.time(),
                "attributes": {**checkin.attributes, **fixed},
                "version": checkin.version,
                "plan": checkin.plan,
                "pack": checkin.pack,
                "phase": checkin.phase,
                "failed": list(checkin.failed),
                "waiting": checkin.waiting,
                "sharing": checkin.sharing,
                "software": dict(checkin.software),
            }
            db.execute(update(devices).where(devices.c.device == device).values(**row))

    def forget(self, device: str, *, reason: str, actor: str) -> None:
        """Delete a device, its identity and everything that it alone sent.

        That is in tables with a column ``device``, whichever feature they belong to. Sums over all
        devices stay, in which nobody can find it; so do the audit, and figures on which something
        was decided.

        Raises:
            NotFound: there is no such device.
        """
        with transaction(self._engine) as db:
            self.identities.get(device)
            for table in metadata.sorted_tables:
                if "device" in table.c:
                    db.execute(delete(table).where(table.c.device == device))
            self._audit.record(actor, "forget", None, {"device": device, "reason": reason})
        log.info("device %s was forgotten", device)

    def devices(
        self, model: str | None = None, *, since: float | None = None, limit: int | None = None
    ) -> list[DeviceRecord]:
        """Return devices, in the order in which they joined.

        Args:
            model: that they serve; default all.
            since: when they were last heard of, or later, in Unix seconds; default ever.
            limit: at most so many, those that were heard of last.
        """
        query = _devices()
        if model is not None:
            query = query.where(devices.c.model == model)
        if since is not None:
            query = query.where(devices.c.seen_at >= since)
        if limit is not None:
            query = query.order_by(devices.c.seen_at.desc()).limit(limit)
        with self._engine.connect() as db:
            records = [_record(row) for row in db.execute(query).mappings()]
        return sorted(records, key=lambda record: record.enrolled_at)


def _devices() -> Select[Any]:
    columns = [identities.c[name] for name in OF_THE_IDENTITY]
    return select(devices, *columns).join(identities, identities.c.device == devices.c.device)


def _record(row: RowMapping) -> DeviceRecord:
    return DeviceRecord(**{name: row[name] for name in DeviceRecord.__dataclass_fields__})
