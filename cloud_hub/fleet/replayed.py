"""Devices that stand for a history that was answered elsewhere, by ``edge replay``.

They hold no key, so they can neither ask nor be given anything, and experiments leave them out;
their reports are checked like those of any device, and they are stopped and forgotten like one.
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
from cloud_hub.fleet.identities import refuse_stopped
from cloud_hub.fleet.tables import devices

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.database.audit import Audit
    from cloud_hub.fleet.identities import Identities

PREFIX: Final = "replay-"
"""Begin of their names: no device that enrols is called so."""

VOUCHER: Final = "replay"
"""All of them count as one giver of rows and votes."""


def is_replay(device: str) -> bool:
    """Return whether a name is that of a replayed history."""
    return device.startswith(PREFIX)


class ReplayedDevices:
    """Makes and finds them.

    Args:
        engine: of the database.
        identities: of all devices.
        audit: where it is noted that a model got one.
    """

    def __init__(self, engine: Engine, identities: Identities, audit: Audit) -> None:
        self._engine = engine
        self._identities = identities
        self._audit = audit

    def get(self, model: str, name: str, since: float, *, actor: str) -> EnrolledDevice:
        """Return the device of a replay, which is made where there is none.

        Args:
            model: that was replayed; replays of several models may have one name.
            name: of the replay.
            since: when its first window began, Unix seconds: it joined before that.
            actor: who asks.

        Raises:
            IdentityStopped: somebody revoked it.
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
        identity = self._identities.named(db, device)
        if identity is None:
            # Nobody has the private half of this key.
            grant = Grant(f"replay:{actor}", (model,), VOUCHER)
            identity = self._identities.add(db, device, secrets.token_hex(32), grant)
        refuse_stopped(identity)
        mine = (devices.c.device == device, devices.c.model == model)
        known = db.execute(select(devices.c.enrolled_at).where(*mine)).first()
        if known is not None:
            earlier = {"enrolled_at": min(since, known[0]), "seen_at": time.time()}
            db.execute(update(devices).where(*mine).values(**earlier))
            return
        row = {
            "device": device, "model": model, "enrolled_at": since, "seen_at": time.time(),
            "attributes": {"replayed": "yes"}, "failed": [], "software": {},
        }  # fmt: skip
        db.execute(insert(devices).values(**row))
        self._audit.record(actor, "import", model, {"device": device})
