"""The fleet: its devices, and how each last said it is."""

from __future__ import annotations

import functools
import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import afterwards, metadata, transaction
from cloud_hub.database.news import tell
from cloud_hub.database.records import DeviceRecord, EnrolledDevice
from cloud_hub.errors import Conflict, Unauthenticated
from cloud_hub.fleet.asks import DeviceAsks
from cloud_hub.fleet.device_rows import (
    read_attributes,
    read_devices,
    select_devices,
    settled_anew,
    settling,
)
from cloud_hub.fleet.grants import Grant
from cloud_hub.fleet.groups import DeviceGroups
from cloud_hub.fleet.identities import (
    CREDENTIAL_SECONDS,
    Identities,
    IdentityRecord,
    check_signature,
    refuse_stopped,
)
from cloud_hub.fleet.known_credentials import KnownCredentials
from cloud_hub.fleet.replayed import ReplayedDevices, is_replay
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.fleet.serials import RegisteredSerials
from cloud_hub.fleet.sightings import Sightings
from cloud_hub.fleet.tables import devices, identities
from cloud_hub.fleet.tokens import EnrolmentTokens, TokenTerms
from edge_sdk.contract.fleet import CheckIn, EnrolReply, EnrolRequest, enrolment_bytes
from edge_sdk.contract.limits import MODELS
from edge_sdk.contract.version import PROTOCOL

log = logging.getLogger(__name__)

BY_CREDENTIAL: Final = (
    select(
        identities.c.credential, identities.c.device, identities.c.standing,
        identities.c.credential_at, devices.c.model,
    )
    .join(devices, devices.c.device == identities.c.device)
    .where(identities.c.credential.in_(bindparam("digests", expanding=True)))
    .order_by(devices.c.device, devices.c.model)
)  # fmt: skip


class StoredCredential(NamedTuple):
    """A credential in the database: whose, since when (Unix seconds), and the device's standing."""

    device: EnrolledDevice
    given_at: float
    standing: str


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
        self.groups = DeviceGroups(engine, audit)
        self.asks = DeviceAsks(engine, audit)
        self.known = KnownCredentials()
        self.sightings = Sightings(engine)
        self.identities = Identities(engine, audit, credential_seconds, self.known.forget)
        self.replayed = ReplayedDevices(engine, self.identities, audit)

    def new_token(self, *models: str, uses: int, seconds: float, actor: str) -> str:
        """Make one token with which devices may join.

        The models need not be there yet: devices that join wait for their first versions.

        Args:
            models: that the devices may serve.
            uses: number of devices that may join with it.
            seconds: from now until it expires.
            actor: who wants it.

        Raises:
            Invalid: the name is none, or a number is out of range.
        """
        ((_, token),) = self.tokens.make(TokenTerms(models, uses, seconds), actor=actor)
        return token

    def enrol(self, token: str | None, request: EnrolRequest) -> EnrolReply:
        """Let a device join, with one more model if it joined before; or tell it what it was told
        then.

        Args:
            token: enrolment token or one-time secret; ``None`` for a registered key alone.
            request: signed by the device.

        Raises:
            Unauthenticated: the signature, the token or the proof of the serial is wrong.
            Forbidden: the token is used up, expired, revoked, or for another model; says which.
            IdentityStopped: the device was revoked or cloned.
            Conflict: another protocol; more models than one device may have; a token that needs
                approval, or fixes other attributes, for a device that joined before.
        """
        if request.protocol != PROTOCOL:
            raise Conflict(f"protocol: expected {PROTOCOL}, got {request.protocol}")
        text = enrolment_bytes(
            token, request.models, request.public_key, request.attributes, request.serial
        )
        check_signature(request.public_key, request.signature, text)
        try:
            identity, models = self._join(token, request)
        except IntegrityError:
            # The same request came twice at once; the other one was first.
            identity, models = self._join(token, request)
        return EnrolReply(
            identity.device, self._root, models, identity.attributes,
            "pending" if identity.standing == "pending" else "active",
        )  # fmt: skip

    def _join(
        self, token: str | None, request: EnrolRequest
    ) -> tuple[IdentityRecord, tuple[str, ...]]:
        """Return the identity, and all models whose fleets it is in."""
        with transaction(self._engine) as db:
            known = self.identities.of_key(db, request.public_key)
            if known is None:
                return self._join_first(db, token, request)
            if known.standing != "pending":
                refuse_stopped(known)
            models = _models_of(db, known.device)
            more = [name for name in request.models if name not in models]
            if not more:
                return known, models
            grant = self._grant(db, token, replace(request, models=tuple(more)), known)
            check_one_more(known, grant)
            check_number(known, len(models) + len(more))
            self._enter(db, known, grant, request)
            afterwards(self._engine, functools.partial(self.known.forget, known.device))
            return known, tuple(sorted((*models, *more)))

    def _join_first(
        self, db: Connection, token: str | None, request: EnrolRequest
    ) -> tuple[IdentityRecord, tuple[str, ...]]:
        grant = self._grant(db, token, request)
        device = f"d-{secrets.token_hex(6)}"
        identity = self.identities.add(db, device, request.public_key, grant)
        self._enter(db, identity, grant, request)
        return identity, tuple(sorted(grant.models))

    def _enter(
        self, db: Connection, identity: IdentityRecord, grant: Grant, request: EnrolRequest
    ) -> None:
        """Put a device into the fleets that it was granted."""
        if grant.serial is not None:
            self.serials.joined(db, grant.serial, identity.device)
        now = time.time()
        row = {
            "device": identity.device, "enrolled_at": now, "seen_at": now,
            "attributes": {**request.attributes, **identity.attributes}, "failed": [],
            "software": {},
        }  # fmt: skip
        db.execute(insert(devices), [row | {"model": model} for model in grant.models])
        # Not its attributes: the audit stays when a device is forgotten.
        noted = {"by": grant.by, "standing": identity.standing}
        for model in grant.models:
            self._audit.record(identity.device, "enrol", model, noted)
            log.info("device %s enrolled for %s", identity.device, model)

    def _grant(
        self,
        db: Connection,
        token: str | None,
        request: EnrolRequest,
        known: IdentityRecord | None = None,
    ) -> Grant:
        device, joined_by = (None, None) if known is None else (known.device, known.enrolled_by)
        if request.serial is not None:
            return self.serials.use(
                db, request.serial, request.models, request.public_key, token, device=device
            )
        if token is None:
            raise Unauthenticated("expected a header Authorization: Bearer TOKEN, or a serial")
        return self.tokens.use(db, token, request.models, joined_by=joined_by)

    def authenticate(self, credential: str) -> EnrolledDevice:
        """Return the device that has this credential, and its models.

        Raises:
            Unauthenticated: nobody has it, or it expired.
            IdentityStopped: the device was stopped.
        """
        device = self.recognise(credential)
        if device is not None:
            return device
        found = self._look_up([credential]).get(digest(credential))
        if found is None or not self.identities.is_current(found.given_at, time.time()):
            reason = "device credential: unknown or expired; ask for a new one"
            raise Unauthenticated(reason, guess=False)
        if found.standing != "active":
            refuse_stopped(self.identities.get(found.device.device))
        return found.device

    def recognise(self, credential: str) -> EnrolledDevice | None:
        """Return the device of a credential that was looked up a moment ago.

        It asks no database, so an event loop may call it. ``None`` says nothing about the
        credential: :meth:`authenticate` does.
        """
        known = self.known.get(digest(credential))
        if known is None or not self.identities.is_current(known.given_at, time.time()):
            return None
        return known.device

    def look_up(self, credentials: Sequence[str]) -> list[EnrolledDevice | None]:
        """Look several credentials up at once: of each the device, ``None`` where it is not valid.

        What asks so says nothing to whoever shows a wrong one; :meth:`authenticate` says why.
        """
        self._look_up(credentials)
        return [self.recognise(credential) for credential in credentials]

    def _look_up(self, credentials: Sequence[str]) -> dict[str, StoredCredential]:
        """Read credentials from the database, by digest; those that are valid are known then."""
        changes, now = self.known.changes, time.time()
        digests = [digest(credential) for credential in credentials]
        with self._engine.connect() as db:
            rows = db.execute(BY_CREDENTIAL, {"digests": digests}).all()
        found: dict[str, StoredCredential] = {}
        for row in rows:
            models = (row.model,)
            if row.credential in found:
                models = (*found[row.credential].device.models, row.model)
            device = EnrolledDevice(row.device, models)
            found[row.credential] = StoredCredential(device, row.credential_at, row.standing)
        for key, each in found.items():
            if each.standing == "active" and self.identities.is_current(each.given_at, now):
                self.known.learn(key, each.device, each.given_at, changes)
        return found

    def check_in(self, device: EnrolledDevice, checkin: CheckIn) -> None:
        """Note how a device says it is; attributes that the hub fixed stay.

        Raises:
            Conflict: another protocol.
            Invalid: it speaks of a model that is none of the device's.
        """
        check_checkin(device, checkin)
        self.check_in_all([(device, checkin)])

    def check_in_all(self, said: Sequence[tuple[EnrolledDevice, CheckIn]]) -> list[None]:
        """Note how several devices say they are, in one transaction.

        Args:
            said: by each, checked by :func:`check_checkin`; of one device the last counts.
        """
        t, d = identities.c, devices.c
        names = {device.device for device, _ in said}
        # Read before the transaction: SQLite lets nobody write who began by reading, where another
        # one has written since.
        with self._engine.connect() as db:
            query = select(t.device, t.attributes).where(t.device.in_(names))
            fixed = {row.device: row.attributes for row in db.execute(query)}
            before = settling(db, names)
        with self._engine.begin() as db:
            # In one order in every process: two that write the same devices wait, and never for
            # each other.
            rows = sorted(
                (row for each in said for row in _reported(*each, fixed)),
                key=lambda row: (row["of_device"], row["of_model"]),
            )
            if rows:
                of_model = (d.device == bindparam("of_device")) & (d.model == bindparam("of_model"))
                db.execute(update(devices).where(of_model), rows)
                tell(db, settled_anew(rows, before))
        return [None] * len(said)

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
            models = _models_of(db, device)
            for table in metadata.sorted_tables:
                if "device" in table.c:
                    db.execute(delete(table).where(table.c.device == device))
            tell(db, models)
            self._audit.record(actor, "forget", None, {"device": device, "reason": reason})
        self.known.forget(device)
        self.sightings.forget(device)
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
        if since is not None or limit is not None:
            self.sightings.flush()  # the database chooses by it
        query = select_devices()
        if model is not None:
            query = query.where(devices.c.model == model)
        if since is not None:
            query = query.where(devices.c.seen_at >= since)
        if limit is not None:
            query = query.order_by(devices.c.seen_at.desc()).limit(limit)
        with self._engine.connect() as db:
            records = read_devices(db, query, self.sightings.newest)
        return sorted(records, key=lambda record: record.enrolled_at)

    def attributes(self, model: str) -> dict[str, dict[str, str]]:
        """Return the attributes of each device of a model, in the order in which they joined."""
        with self._engine.connect() as db:
            return read_attributes(db, model)

    def on_device(self, device: str) -> list[DeviceRecord]:
        """Return the models of one device, by name; raises NotFound."""
        self.identities.get(device)
        query = select_devices().where(devices.c.device == device)
        with self._engine.connect() as db:
            records = read_devices(db, query, self.sightings.newest)
        return sorted(records, key=lambda record: record.model)

    def participants(self, model: str) -> list[DeviceRecord]:
        """Return the devices of a model that experiments are about: all but replayed histories."""
        return [record for record in self.devices(model) if not is_replay(record.device)]


def check_checkin(device: EnrolledDevice, checkin: CheckIn) -> None:
    """Refuse a check-in that is none of this device's.

    Raises:
        Conflict: another protocol.
        Invalid: it speaks of a model that is none of the device's.
    """
    if checkin.protocol != PROTOCOL:
        raise Conflict(f"protocol: expected {PROTOCOL}, got {checkin.protocol}")
    for name in checkin.models:
        device.check_model(name)


def _reported(
    device: EnrolledDevice, checkin: CheckIn, fixed: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    """The columns of a check-in, for each model; ``fixed`` are attributes by device."""
    whole = {
        "of_device": device.device,
        "seen_at": time.time(),
        "attributes": {**checkin.attributes, **(fixed.get(device.device) or {})},
        "waiting": checkin.waiting,
        "sharing": checkin.sharing,
        "interval": checkin.interval,
    }
    for name, state in checkin.models.items():
        yield whole | {
            "of_model": name,
            "version": state.version,
            "plan": state.plan,
            "pack": state.pack,
            "phase": state.phase,
            "failed": list(state.failed),
            "software": {**checkin.software, **state.runs_on},
        }


def check_one_more(known: IdentityRecord, grant: Grant) -> None:
    """Refuse a grant whose terms a device that joined before does not meet.

    Its identity stands for all its models: it waits for nobody's approval any more, and its
    attributes are fixed.

    Raises:
        Conflict: the grant needs approval, or fixes other attributes.
    """
    if grant.approve:
        raise Conflict(
            f"device {known.device}: has joined before, so that nobody would approve it for "
            f"{', '.join(grant.models)}; make a token without --approve"
        )
    if any(known.attributes.get(name) != value for name, value in grant.attributes.items()):
        raise Conflict(
            f"device {known.device}: its attributes are fixed as {known.attributes}, and the token "
            f"or serial fixes {dict(grant.attributes)}; make one without, or with the same"
        )


def check_number(known: IdentityRecord, models: int) -> None:
    """Refuse more models on a device than its messages may name.

    Raises:
        Conflict: there are more.
    """
    if models > MODELS:
        raise Conflict(
            f"device {known.device}: expected at most {MODELS} models on one device, got {models}"
        )


def _models_of(db: Connection, device: str) -> tuple[str, ...]:
    query = select(devices.c.model).where(devices.c.device == device).order_by(devices.c.model)
    return tuple(db.execute(query).scalars())
