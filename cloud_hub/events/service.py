"""The stream of what happened, in the order in which it was committed.

Every entry of the audit log is an event (:mod:`cloud_hub.database.audit`), so that nothing is
written twice and no event can be missing that an auditor would see.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine, RowMapping, Select, delete, func, or_, select

from cloud_hub.database.audit import audit_table
from cloud_hub.database.engine import transaction
from cloud_hub.database.event_kinds import SEVERITIES, EventClass, classified
from cloud_hub.events.event import EventFilter, StreamEvent

LOOK_SECONDS: Final = 0.5
"""Between two looks for something new on behalf of all who wait in this process."""

MOST_WAITING: Final = 200
"""Requests that may wait in one process; further ones are answered at once."""

DEVICE_DAYS: Final = 400
"""For so long the everyday events of devices are kept: each device of a fleet makes some, while
people and decisions make few, and theirs stay."""

CLEAN_SECONDS: Final = 3_600.0


@dataclass(frozen=True)
class EventPage:
    """Events in ascending order; ``next`` is where reading goes on."""

    events: tuple[StreamEvent, ...]
    next: int


class EventStream:
    """The events of a hub.

    Args:
        engine: of its database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._looked, self._newest = -LOOK_SECONDS, 0
        self._waiting, self._released = 0, False
        self._cleaned = 0.0

    def newest(self) -> int:
        """Return the id of the newest event, 0 if there is none."""
        with self._engine.connect() as db:
            return int(db.execute(select(func.max(audit_table.c.id))).scalar() or 0)

    def page(
        self, wanted: EventFilter = EventFilter(), *, after: int | None = None, limit: int = 200
    ) -> EventPage:
        """Return a page of events.

        Args:
            wanted: which of them.
            after: id after which they begin; default: the newest ones.
            limit: events at most.
        """
        a = audit_table.c
        query = _narrowed(select(audit_table), wanted).limit(limit)
        newest = self.newest()  # before the page: what is committed in between is on the next
        if after is None:
            query = query.order_by(a.id.desc())
        else:
            query = query.where(a.id > after).order_by(a.id)
        with self._engine.connect() as db:
            found = sorted(
                (_event(row) for row in db.execute(query.where(a.id <= newest)).mappings()),
                key=lambda event: event.id,
            )
        # A full page ends where it ends; one that is not has seen everything up to the newest.
        is_full = after is not None and len(found) == limit
        goes_on = found[-1].id if is_full else max(newest, after or 0)
        return EventPage(tuple(filter(wanted.takes, found)), goes_on)

    async def beyond(self, after: int, seconds: float) -> None:
        """Wait until there is an event with a greater id, for so many seconds at most."""
        if self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        until = time.monotonic() + seconds
        try:
            while await self._known_newest() <= after:
                left = until - time.monotonic()
                if left <= 0 or self._released:
                    return
                await asyncio.sleep(min(LOOK_SECONDS, left))
        finally:
            self._waiting -= 1

    def release(self) -> None:
        """Let all who wait go, for the hub ends."""
        self._released = True

    async def _known_newest(self) -> int:
        """Return the newest id as this process saw it a moment ago: one look serves all."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._newest = await run_in_threadpool(self.newest)
        return self._newest

    def clean(self, now: float) -> None:
        """Forget everyday events of devices that are old; a part of the loop.

        Args:
            now: Unix seconds.
        """
        if 0 <= now - self._cleaned < CLEAN_SECONDS:
            return
        self._cleaned = now
        a = audit_table.c
        old = (a.kind == "device") & (a.severity == "info") & (a.at < now - DEVICE_DAYS * 86_400)
        # The newest stays: SQLite would give its id once more, and readers would pass it over.
        old &= a.id < self.newest()
        with transaction(self._engine) as db:
            db.execute(delete(audit_table).where(old))


def _narrowed(query: Select[Any], wanted: EventFilter) -> Select[Any]:
    """Let the database leave out what :meth:`EventFilter.takes` would."""
    a = audit_table.c
    # What an older hub wrote has no kind yet; it is looked at when it is read.
    if wanted.kinds:
        query = query.where(or_(a.kind.is_(None), a.kind.in_(wanted.kinds)))
    if wanted.models:
        query = query.where(a.model.in_(wanted.models))
    if wanted.severity != "info":
        least = SEVERITIES.index(wanted.severity)
        query = query.where(or_(a.severity.is_(None), a.severity.in_(SEVERITIES[least:])))
    if wanted.device is not None:
        query = query.where(or_(a.device == wanted.device, a.kind.is_(None)))
    if wanted.type:
        query = query.where(or_(a.type.is_(None), a.type.startswith(wanted.type, autoescape=True)))
    return query


def _event(row: RowMapping) -> StreamEvent:
    filed = (
        EventClass(row["kind"], row["type"], row["severity"], row["version"], row["device"])
        if row["kind"] is not None
        else classified(row["actor"], row["action"], row["detail"])
    )
    return StreamEvent(
        row["id"], row["at"], filed.kind, filed.type, filed.severity, row["model"], filed.version,
        filed.device, row["actor"], row["action"], row["detail"],
    )  # fmt: skip
