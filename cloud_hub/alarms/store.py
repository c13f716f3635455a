"""Alarms of the hub, in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, insert, select, update

from cloud_hub.alarms.conditions import HubCondition
from cloud_hub.alarms.tables import hub_alarms
from cloud_hub.database.engine import transaction


@dataclass(frozen=True)
class HubAlarm:
    """An alarm: open until its condition is gone, whoever acknowledges it before.

    Attributes:
        key: names what is wrong; ``monitor:MODEL:SIGNAL`` where monitoring raised it.
        kind: such as ``disk``, ``devices_lost`` or ``drift``.
        severity: of it.
        says: how it is or was, a sentence.
        todo: what to do.
        evidence: plain JSON.
        opened_at: Unix seconds.
        seen_at: when it held last, Unix seconds.
        model: that it concerns, ``None`` for the hub as a whole.
        version: of that model.
        acknowledged_at: Unix seconds, ``None`` if nobody has.
        acknowledged_by: who.
        closed_at: Unix seconds, ``None`` while it is open.
    """

    key: str
    kind: str
    severity: str
    says: str
    todo: str
    evidence: Mapping[str, Any]
    opened_at: float
    seen_at: float
    model: str | None = None
    version: str | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    closed_at: float | None = None


_COLUMNS = [hub_alarms.c[name] for name in HubAlarm.__dataclass_fields__]


class HubAlarmStore:
    """Alarms of a hub.

    Args:
        engine: of its database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self) -> list[HubAlarm]:
        """Return those that are open, oldest first."""
        return self._found(select(*_COLUMNS).where(hub_alarms.c.closed_at.is_(None)))

    def past(self, limit: int) -> list[HubAlarm]:
        """Return the newest that are closed, oldest first."""
        a = hub_alarms.c
        query = select(*_COLUMNS).where(a.closed_at.is_not(None)).order_by(a.id.desc())
        return self._found(query.limit(limit))

    def _found(self, query: Any) -> list[HubAlarm]:
        with self._engine.connect() as db:
            found = [HubAlarm(**row) for row in db.execute(query).mappings()]
        return sorted(found, key=lambda alarm: alarm.opened_at)

    def add(self, new: HubCondition, now: float) -> None:
        """Open an alarm at a time in Unix seconds."""
        row = {**vars(new), "evidence": dict(new.evidence), "opened_at": now, "seen_at": now}
        with transaction(self._engine) as db:
            db.execute(insert(hub_alarms).values(**row))

    def note(self, held: HubCondition, now: float) -> None:
        """Note that an open alarm holds still, with the newest evidence."""
        a = hub_alarms.c
        row = {
            "says": held.says, "todo": held.todo, "evidence": dict(held.evidence),
            "severity": held.severity, "seen_at": now,
        }  # fmt: skip
        with transaction(self._engine) as db:
            here = (a.key == held.key) & a.closed_at.is_(None)
            db.execute(update(hub_alarms).where(here).values(**row))

    def close(self, key: str, now: float) -> None:
        """Close an open alarm."""
        a = hub_alarms.c
        with transaction(self._engine) as db:
            here = (a.key == key) & a.closed_at.is_(None)
            db.execute(update(hub_alarms).where(here).values(closed_at=now))

    def acknowledge(self, key: str, actor: str, now: float) -> bool:
        """Acknowledge an open alarm; return whether there is one that nobody had.

        Args:
            key: of the alarm.
            actor: who does.
            now: Unix seconds.
        """
        a = hub_alarms.c
        here = (a.key == key) & a.closed_at.is_(None) & a.acknowledged_at.is_(None)
        with transaction(self._engine) as db:
            done = db.execute(
                update(hub_alarms).where(here).values(acknowledged_at=now, acknowledged_by=actor)
            )
        return bool(done.rowcount)
