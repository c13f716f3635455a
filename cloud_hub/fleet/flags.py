"""Flags: devices that claimed what cannot be, for a person to look at. They decide nothing."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, Engine, Float, Integer, String, Table, Text, select, update

from cloud_hub.database.engine import insert_if_new, metadata

log = logging.getLogger(__name__)

MOST_CHARACTERS: Final = 300
"""Of a reason."""

device_flags = Table(
    "device_flags",
    metadata,
    Column("device", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("model", String, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("times", Integer, nullable=False),
)


@dataclass(frozen=True)
class DeviceFlag:
    """Something that a device claimed and that cannot be.

    Attributes:
        device: its name.
        kind: ``arm`` of an experiment, or ``counts``.
        reason: of the newest refusal.
        first_at: Unix seconds.
        last_at: Unix seconds.
        times: number of messages that were refused for it.
    """

    device: str
    kind: str
    reason: str
    first_at: float
    last_at: float
    times: int


class Flags:
    """Flags of all devices."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def raise_flag(self, device: str, model: str, kind: str, reason: str) -> None:
        """Note that a message of a device was refused for what it claimed.

        Args:
            device: its name.
            model: that it serves.
            kind: of the claim.
            reason: of the refusal.
        """
        now, c = time.time(), device_flags.c
        row = {"device": device, "kind": kind, "model": model, "reason": reason[:MOST_CHARACTERS]}
        with self._engine.begin() as db:
            if insert_if_new(
                db, device_flags, {**row, "first_at": now, "last_at": now, "times": 1}
            ):
                log.warning("device %s of %s is flagged: %s", device, model, reason)
                return
            db.execute(
                update(device_flags)
                .where(c.device == device, c.kind == kind)
                .values(reason=row["reason"], last_at=now, times=c.times + 1)
            )

    def of(self, model: str | None = None) -> dict[str, list[DeviceFlag]]:
        """Return flags by device; of one model, or of all."""
        names = DeviceFlag.__dataclass_fields__
        query = select(*(device_flags.c[name] for name in names))
        if model is not None:
            query = query.where(device_flags.c.model == model)
        flags: dict[str, list[DeviceFlag]] = {}
        with self._engine.connect() as db:
            for row in db.execute(query.order_by(device_flags.c.last_at)).mappings():
                flags.setdefault(row["device"], []).append(DeviceFlag(**row))
        return flags
