"""The fleet: its devices, and how each last said it is."""

from __future__ import annotations

import datetime
import hashlib
import logging
import secrets
import time
from typing import Final

from sqlalchemy import Engine, RowMapping, insert, select, update

from cloud_hub.database.audit import Audit
from cloud_hub.database.records import DeviceRecord
from cloud_hub.errors import Conflict, Forbidden, Invalid
from cloud_hub.fleet.tables import devices, enrolment_tokens
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.fleet import CheckIn, EnrolReply, EnrolRequest
from edge_sdk.contract.names import check_name
from edge_sdk.contract.version import PROTOCOL

log = logging.getLogger(__name__)

MOST_USES: Final = 10_000_000
LONGEST_SECONDS: Final = 10 * 366 * 86_400


class Fleet:
    """Devices of all models.

    Args:
        engine: of the hub's database.
        audit: where enrolments are noted.
        root: first root of trust, as JSON; every new device gets it.
    """

    def __init__(self, engine: Engine, audit: Audit, root: str) -> None:
        self._engine = engine
        self._audit = audit
        self._root = root

    def new_token(self, model: str, *, uses: int, seconds: float, actor: str) -> str:
        """Make a token with which devices may join.

        The model need not be there yet: devices that join wait for its first version.

        Args:
            model: that the devices will serve.
            uses: number of devices that may join with it.
            seconds: from now until it expires.
            actor: who wants it.

        Raises:
            Invalid: the name is none, or a number is out of range.
        """
        try:
            check_name("model", model)
        except ContractError as error:
            raise Invalid(str(error)) from error
        if not 1 <= uses <= MOST_USES:
            raise Invalid(f"uses: expected 1 to {MOST_USES}, got {uses}")
        if not 0 < seconds <= LONGEST_SECONDS:
            raise Invalid(f"seconds: expected above 0, at most {LONGEST_SECONDS}, got {seconds:g}")
        # A first letter of our own: argparse takes ``--token -x…`` for an option without a value.
        token = f"enrol_{secrets.token_urlsafe(24)}"
        row = {"token": _digest(token), "model": model, "uses": uses}
        with self._engine.begin() as db:
            db.execute(insert(enrolment_tokens).values(**row, expires_at=time.time() + seconds))
        self._audit.record(actor, "enrol-token", model, {"uses": uses, "seconds": seconds})
        return token

    def enrol(self, token: str, request: EnrolRequest) -> EnrolReply:
        """Let a device join.

        Raises:
            Forbidden: the token is unknown, used up, expired, or for another model; says which.
            Conflict: the device speaks another protocol.
        """
        if request.protocol != PROTOCOL:
            raise Conflict(f"protocol: expected {PROTOCOL}, got {request.protocol}")
        self._use_token(token, request.model)
        device, secret = f"d-{secrets.token_hex(6)}", secrets.token_urlsafe(24)
        now = time.time()
        row = {
            "device": device,
            "model": request.model,
            "token": _digest(secret),
            "enrolled_at": now,
            "seen_at": now,
            "attributes": dict(request.attributes),
            "failed": [],
            "software": {},
        }
        with self._engine.begin() as db:
            db.execute(insert(devices).values(**row))
        self._audit.record(device, "enrol", request.model, dict(request.attributes))
        log.info("device %s enrolled for %s", device, request.model)
        return EnrolReply(device, secret, self._root)

    def _use_token(self, token: str, model: str) -> None:
        # One statement checks and counts: two devices cannot share the last use.
        now = time.time()
        usable = (
            (enrolment_tokens.c.token == _digest(token))
            & (enrolment_tokens.c.model == model)
            & (enrolment_tokens.c.uses > 0)
            & (enrolment_tokens.c.expires_at > now)
        )
        change = update(enrolment_tokens).where(usable).values(uses=enrolment_tokens.c.uses - 1)
        with self._engine.begin() as db:
            if db.execute(change).rowcount == 1:
                return
            query = select(enrolment_tokens).where(enrolment_tokens.c.token == _digest(token))
            row = db.execute(query).mappings().first()
        reason = _refusal(row, model, now)
        log.warning("a device was not enrolled for %s: %s", model, reason)
        raise Forbidden(f"enrolment token: {reason}")

    def authenticate(self, token: str) -> DeviceRecord:
        """Return the device that has this token; raises Forbidden."""
        query = select(devices).where(devices.c.token == _digest(token))
        with self._engine.connect() as db:
            row = db.execute(query).mappings().first()
        if row is None:
            raise Forbidden("device token: unknown; enrol the device again")
        return _record(row)

    def check_in(self, device: str, checkin: CheckIn) -> None:
        """Note how a device says it is."""
        row = {
            "seen_at": time.time(),
            "attributes": dict(checkin.attributes),
            "version": checkin.version,
            "plan": checkin.plan,
            "pack": checkin.pack,
            "phase": checkin.phase,
            "failed": list(checkin.failed),
            "waiting": checkin.waiting,
            "sharing": checkin.sharing,
            "software": dict(checkin.software),
        }
        with self._engine.begin() as db:
            db.execute(update(devices).where(devices.c.device == device).values(**row))

    def devices(
        self, model: str | None = None, *, since: float | None = None, limit: int | None = None
    ) -> list[DeviceRecord]:
        """Return devices, in the order in which they joined.

        Args:
            model: that they serve; default all.
            since: when they were last heard of, or later, in Unix seconds; default ever.
            limit: at most so many, those that were heard of last.
        """
        query = select(devices)
        if model is not None:
            query = query.where(devices.c.model == model)
        if since is not None:
            query = query.where(devices.c.seen_at >= since)
        if limit is not None:
            query = query.order_by(devices.c.seen_at.desc()).limit(limit)
        with self._engine.connect() as db:
            records = [_record(row) for row in db.execute(query).mappings()]
        return sorted(records, key=lambda record: record.enrolled_at)


def _refusal(row: RowMapping | None, model: str, now: float) -> str:
    """Say why a token does not let a device join; only its owner can ask, so it is no secret."""
    if row is None:
        return "unknown to this hub; make one with edge-hub enrol-token"
    if row["model"] != model:
        return f"is for model {row['model']}, not {model}"
    if row["expires_at"] <= now:
        expired = datetime.datetime.fromtimestamp(row["expires_at"], datetime.UTC)
        return f"expired at {expired:%Y-%m-%d %H:%M} UTC; make another with edge-hub enrol-token"
    return "used up, as many devices joined as it is for; make another with edge-hub enrol-token"


def _record(row: RowMapping) -> DeviceRecord:
    return DeviceRecord(**{name: row[name] for name in DeviceRecord.__dataclass_fields__})


def _digest(token: str) -> str:
    """Return the form in which a token is stored.

    Tokens are random and long, so a plain hash protects them as well as a slow one would.
    """
    return hashlib.sha256(token.encode()).hexdigest()
