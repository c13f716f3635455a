"""The fleet: who is in it and how each device said it is."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any, Final

from sqlalchemy import Engine, insert, select, update

from cloud_hub.database.audit import Audit
from cloud_hub.database.records import DeviceRecord
from cloud_hub.errors import Conflict, Forbidden, Invalid
from cloud_hub.fleet.tables import devices, enrolment_tokens
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.fleet import CheckIn, EnrolReply, EnrolRequest
from edge_sdk.contract.names import check_name
from edge_sdk.contract.version import PROTOCOL

MOST_USES: Final = 10_000_000
LONGEST_SECONDS: Final = 10 * 366 * 86_400


class Fleet:
    """Devices of all models."""

    def __init__(self, engine: Engine, audit: Audit, root: str) -> None:
        self._engine = engine
        self._audit = audit
        self._root = root

    def new_token(self, model: str, *, uses: int, seconds: float, actor: str) -> str:
        """A token with which ``uses`` devices may join within ``seconds``.

        The model need not be there yet: devices that join wait for its first version.

        Raises:
            Invalid: no name of a model, no use, or no time, or more than anybody can mean.
        """
        try:
            check_name("model", model)
        except ContractError as error:
            raise Invalid(str(error)) from error
        if not 1 <= uses <= MOST_USES:
            raise Invalid(f"uses: expected 1 to {MOST_USES}, got {uses}")
        if not 0 < seconds <= LONGEST_SECONDS:
            raise Invalid(f"seconds: expected above 0, at most {LONGEST_SECONDS}, got {seconds:g}")
        token = secrets.token_urlsafe(24)
        row = {"token": _digest(token), "model": model, "uses": uses}
        with self._engine.begin() as db:
            db.execute(insert(enrolment_tokens).values(**row, expires_at=time.time() + seconds))
        self._audit.record(actor, "enrol-token", model, {"uses": uses, "seconds": seconds})
        return token

    def enrol(self, token: str, request: EnrolRequest) -> EnrolReply:
        """Let a device join.

        Raises:
            Forbidden: the token is unknown, used up, expired, or for another model.
            Conflict: the device speaks another protocol.
        """
        if request.protocol != PROTOCOL:
            raise Conflict(f"protocol: expected {PROTOCOL}, got {request.protocol}")
        self._use_token(token, request.model)
        device, secret = f"d-{secrets.token_hex(6)}", secrets.token_urlsafe(24)
        now = time.time()
        row = {"device": device, "model": request.model, "token": _digest(secret)}
        with self._engine.begin() as db:
            db.execute(
                insert(devices).values(
                    **row,
                    enrolled_at=now,
                    seen_at=now,
                    attributes=dict(request.attributes),
                    failed=[],
                    software={},
                )
            )
        self._audit.record(device, "enrol", request.model, dict(request.attributes))
        return EnrolReply(device, secret, self._root)

    def _use_token(self, token: str, model: str) -> None:
        usable = (
            (enrolment_tokens.c.token == _digest(token))
            & (enrolment_tokens.c.model == model)
            & (enrolment_tokens.c.uses > 0)
            & (enrolment_tokens.c.expires_at > time.time())
        )
        change = update(enrolment_tokens).where(usable).values(uses=enrolment_tokens.c.uses - 1)
        with self._engine.begin() as db:
            if db.execute(change).rowcount != 1:
                raise Forbidden("enrolment token: unknown, used up, expired, or for another model")

    def authenticate(self, token: str) -> DeviceRecord:
        """The device that has this token; raises Forbidden."""
        query = select(devices).where(devices.c.token == _digest(token))
        with self._engine.connect() as db:
            row = db.execute(query).mappings().first()
        if row is None:
            raise Forbidden("device token: unknown; enrol the device again")
        return _record(row)

    def check_in(self, device: str, checkin: CheckIn) -> None:
        """Note how a device is."""
        change = update(devices).where(devices.c.device == device)
        with self._engine.begin() as db:
            db.execute(
                change.values(
                    seen_at=time.time(),
                    attributes=dict(checkin.attributes),
                    version=checkin.version,
                    plan=checkin.plan,
                    pack=checkin.pack,
                    phase=checkin.phase,
                    failed=list(checkin.failed),
                    waiting=checkin.waiting,
                    sharing=checkin.sharing,
                    software=dict(checkin.software),
                )
            )

    def devices(self, model: str | None = None) -> list[DeviceRecord]:
        """All devices, in the order in which they joined."""
        query = select(devices).order_by(devices.c.enrolled_at)
        if model is not None:
            query = query.where(devices.c.model == model)
        with self._engine.connect() as db:
            return [_record(row) for row in db.execute(query).mappings()]


def _record(row: Any) -> DeviceRecord:
    return DeviceRecord(**{name: row[name] for name in DeviceRecord.__dataclass_fields__})


def _digest(token: str) -> str:
    """Tokens are random and long, so a plain hash keeps them as well as a slow one would."""
    return hashlib.sha256(token.encode()).hexdigest()
