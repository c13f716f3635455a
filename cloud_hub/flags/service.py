"""Flags of devices whose reports were refused because they cannot be true.

A flag is for people: it takes nothing from the device, whose other reports go on to count as any
device's. One row a device, model and kind, so that a device cannot fill the disk with them; the
first of a kind is in the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Engine, delete, select, update

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import insert_if_new, transaction
from cloud_hub.errors import FlagKind
from cloud_hub.flags.tables import flags

KEPT_SECONDS: Final = 30 * 86_400.0
"""A flag that was not raised for so long is forgotten."""


@dataclass(frozen=True)
class Flag:
    """What one device claimed that cannot be; times are Unix seconds, ``reason`` is the newest."""

    kind: str
    reason: str
    first_at: float
    last_at: float
    count: int


class Flags:
    """Flags of all devices.

    Args:
        engine: of the hub's database.
        audit: where the first flag of a kind is noted.
    """

    def __init__(self, engine: Engine, audit: Audit) -> None:
        self._engine = engine
        self._audit = audit

    def raise_(
        self, device: str, model: str, reasons: Mapping[FlagKind, Sequence[str]], now: float
    ) -> None:
        """Flag a device.

        Args:
            device: its name.
            model: that the messages spoke of.
            reasons: by kind one for each message, for people; the last is shown.
            now: Unix seconds.
        """
        with transaction(self._engine) as db:
            for kind, each in reasons.items():
                reason, count = each[-1], len(each)
                key = {"device": device, "model": model, "kind": kind}
                seen = {"reason": reason[:300], "last_at": now}
                fresh = {**key, **seen, "first_at": now, "count": count}
                if insert_if_new(db, flags, fresh):
                    self._audit.record(device, "flagged", model, {"kind": kind, "reason": reason})
                    continue
                more = {**seen, "count": flags.c.count + count}
                db.execute(update(flags).filter_by(**key).values(**more))

    def by_device(self, model: str | None = None) -> dict[tuple[str, str], list[Flag]]:
        """Return the flags of devices that have some, oldest first, by device and model.

        Args:
            model: that the messages spoke of; default all.
        """
        query = select(flags).order_by(flags.c.first_at)
        if model is not None:
            query = query.where(flags.c.model == model)
        found: dict[tuple[str, str], list[Flag]] = {}
        with self._engine.connect() as db:
            for row in db.execute(query).mappings():
                flag = Flag(**{name: row[name] for name in Flag.__dataclass_fields__})
                found.setdefault((row["device"], row["model"]), []).append(flag)
        return found

    def tick(self, now: float) -> None:
        """Forget flags that were not raised for :data:`KEPT_SECONDS`."""
        with transaction(self._engine) as db:
            db.execute(delete(flags).where(flags.c.last_at < now - KEPT_SECONDS))


def as_documents(raised: Iterable[Flag]) -> list[dict[str, Any]]:
    """Return flags as JSON."""
    return [asdict(flag) for flag in raised]
