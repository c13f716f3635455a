"""Devices that stand for a history that was answered elsewhere, by ``edge replay``.

They hold no key, so they can neither ask nor be given anything; their reports are checked like
those of any device, and they are forgotten like one.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.engine import transaction
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.fleet.grants import Grant
from cloud_hub.fleet.tables import devices, identities
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.messages import Upload, Windowed

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.fleet.identities import Identities

PREFIX: Final = "replay-"
"""Begin of their names: no device that enrols is called so."""

VOUCHER: Final = "replay"
"""All of them count as one giver of rows and votes."""


def begin_of(upload: Upload) -> float:
    """Return when the first window of an upload began, Unix seconds; now, if it has none."""
    starts = []
    for message in upload.messages:
        try:
            body = message.open()
        except ContractError:
            continue  # it is refused with its reason when it is taken in
        if isinstance(body, Windowed):
            starts.append(body.window.start)
    return float(min(starts, default=time.time()))


class ReplayedDevices:
    """Makes and finds them.

    Args:
        engine: of the database.
        identities: of all devices.
    """

    def __init__(self, engine: Engine, identities: Identities) -> None:
        self._engine = engine
        self._identities = identities

    def get(self, model: str, name: str, since: float, *, actor: str) -> EnrolledDevice:
        """Return the device of a replay, which is made where there is none.

        Args:
            model: that was replayed; replays of several models may have one name.
            name: of the replay.
            since: when its first window began, Unix seconds: it joined before that.
            actor: who asks.
        """
        device = f"{PREFIX}{name}"
        try:
            with transaction(self._engine) as db:
                self._enter(db, device, model, since, actor)
        except IntegrityError:  # two at once: the other one was first
            with transaction(self._engine) as db:
                self._enter(db, device, model, since, actor)
        return EnrolledDevice(device, (model,))

    def _enter(self, db: Connection, device: str, model: str, since: float, actor: str) -> None:
        mine = (devices.c.device == device, devices.c.model == model)
        known = db.execute(select(devices.c.enrolled_at).where(*mine)).first()
        if known is not None:
            earlier = {"enrolled_at": min(since, known[0]), "seen_at": time.time()}
            db.execute(update(devices).where(*mine).values(**earlier))
            return
        identity = select(identities.c.device).where(identities.c.device == device)
        if db.execute(identity).first() is None:
            # Nobody has the private half of this key.
            grant = Grant(f"replay:{actor}", (model,), VOUCHER)
            self._identities.add(db, device, secrets.token_hex(32), grant)
        row = {
            "device": device, "model": model, "enrolled_at": since, "seen_at": time.time(),
            "attributes": {"replayed": "yes"}, "failed": [], "software": {},
        }  # fmt: skip
        db.execute(insert(devices).values(**row))
