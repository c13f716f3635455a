"""Retention where reports are divided by days, which they are on PostgreSQL.

A day that no model keeps whole any more is read hour by hour; then its sums take its place and its
table is dropped, in one transaction. So what a fleet reported in a day costs no row-by-row deletion
and leaves no holes behind. Which rows are due and how they add up is decided by
:mod:`cloud_hub.telemetry.retention`, as on SQLite. Differences that can be seen:

* Rows stay whole until their day is over everywhere, so up to a day longer than a policy says. A
  model that keeps them shorter than others do is rolled up by the hour, row by row.
* Sums that were read and not put in place are read again by the next leader.

Rolled up by the hour as well are days with rows of older hubs, or of windows longer than an hour,
and what was there before the table was divided; such a day is dropped once it is empty, or at the
end of its sums.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, Table, delete, insert, select
from sqlalchemy.exc import OperationalError

from cloud_hub.database import partitions
from cloud_hub.database.documents import Document
from cloud_hub.database.engine import transaction
from cloud_hub.database.partitions import DayPart
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.retention import DAY, Spans, groups_of, is_whole, merged, rows_of, sum_row
from cloud_hub.telemetry.tables import ROLLED, feedback, reports

log = logging.getLogger(__name__)

DIVIDED: Final = (reports, feedback)
_EVER: Final = -(1 << 53)
"""Before any window, Unix seconds."""


class Cutoffs(NamedTuple):
    """Parts that end by ``whole`` are rolled up, those that end by ``sums`` deleted; Unix seconds.

    ``longest`` is how many days the model that keeps reports whole the longest does so.
    """

    whole: float
    sums: float
    longest: float


def cutoffs(retentions: Iterable[Retention], now: float) -> Cutoffs:
    """Return what no model keeps any more; nothing goes where there is no model.

    Args:
        retentions: of all models.
        now: Unix seconds.
    """
    kept = [(each.report_days, each.sum_days) for each in retentions]
    if not kept:
        return Cutoffs(_EVER, _EVER, 0.0)
    longest, sums = (max(days) for days in zip(*kept, strict=True))
    return Cutoffs(now - longest * DAY, now - sums * DAY, longest)


def left_to_days(parts: Iterable[DayPart], mine: Retention, due: Cutoffs) -> Spans:
    """Return the times whose rows of a model wait until their day goes as a whole.

    Args:
        parts: that may go as a whole.
        mine: retention of the model.
        due: what no model keeps.
    """
    return [
        (_EVER if part.begin is None else part.begin, part.end)
        for part in parts
        if mine.report_days >= due.longest or part.end <= due.whole
    ]


@dataclass
class _DayReading:
    """A day as far as it was read: hours to come, rows so far, the sum of their numbers, sums."""

    todo: list[RowMapping]
    rows: int = 0
    numbers: int = 0
    sums: list[tuple[RowMapping, Document]] = field(default_factory=list)


class DailyRetention:
    """Makes the parts of days, rolls them up and drops them.

    Args:
        engine: of the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readings: dict[str, _DayReading] = {}
        self._budget = 0

    def clean(
        self, now: float, retentions: Mapping[str, Retention]
    ) -> dict[str, Mapping[str, Spans]]:
        """Make days that are missing, and take away those that are over.

        Args:
            now: Unix seconds.
            retentions: by model, of all models.

        Returns:
            By model and table, the times that are left to the days.
        """
        self._budget = retention.ROWS * retention.STEPS
        due = cutoffs(retentions.values(), now)
        left = {table.name: self._tend(table, due, now) for table in DIVIDED}
        return {
            model: {name: left_to_days(parts, mine, due) for name, parts in left.items()}
            for model, mine in retentions.items()
        }

    def _tend(self, table: Table, due: Cutoffs, now: float) -> list[DayPart]:
        """Return the parts that go as a whole, now or later."""
        with self._engine.connect() as db:
            parts = partitions.parts_of(db, table.name)
        if not parts:  # not divided
            return []
        for day in partitions.missing_days(parts, now):
            partitions.make_day(self._engine, table.name, day)
        return [part for part in parts if self._goes_whole(table, part, due)]

    def _goes_whole(self, table: Table, part: DayPart, due: Cutoffs) -> bool:
        if part.end > due.whole:
            return part.begin is not None
        if part.end <= due.sums:
            return self._replace(table, part, None)
        reading = self._readings.get(part.name)
        if reading is None:
            if self._needs_rows(table, part):
                return False
            here = _within(table, part)
            self._readings[part.name] = reading = _DayReading(groups_of(self._engine, table, here))
        while reading.todo and self._budget > 0:
            self._read(table, reading)
        if not reading.todo:
            del self._readings[part.name]
            self._replace(table, part, reading)
        return True

    def _needs_rows(self, table: Table, part: DayPart) -> bool:
        """Whether a part has rows that do not just add up: of older hubs, of longer windows.

        Or an hour of it has the sum of an older hub, into which younger rows do not go.
        """
        t, here = table.c, _within(table, part)
        single = here & (t.device != ROLLED)
        odd = select(t.id).where(single, (t.summed == 0) | ~is_whole(table))
        older_sum = select(t.id).where(here, t.device == ROLLED, t.summed == 0)
        with self._engine.connect() as db:
            if db.execute(odd.limit(1)).first() is not None:
                return True
            both = (older_sum, select(t.id).where(single))
            return all(db.execute(query.limit(1)).first() is not None for query in both)

    def _read(self, table: Table, reading: _DayReading) -> None:
        """Add up the next hour of a scope."""
        group = reading.todo.pop(0)
        sums: Document | None = None
        query = select(table).where(rows_of(table, group), is_whole(table))
        with self._engine.connect() as db:
            result = db.execution_options(yield_per=retention.ROWS).execute(query).mappings()
            for rows in result.partitions():
                sums = merged(table, [*rows, *([sums] if sums else [])], group["hour"])
                reading.rows += len(rows)
                reading.numbers += sum(row["id"] for row in rows)
                self._budget -= len(rows)
        if sums is not None:
            reading.sums.append((group, sums))

    def _replace(self, table: Table, part: DayPart, reading: _DayReading | None) -> bool:
        """Drop a part, and put its sums in its place; all of it or nothing.

        Args:
            table: that is divided.
            part: to drop.
            reading: what was read of it; ``None``: its sums are over, too.

        Returns:
            Whether it is gone. It is not where the table was in use, or has other rows by now.
        """
        try:
            with transaction(self._engine) as db:
                partitions.lock_parts(db, table.name)
                if reading is not None:
                    if partitions.contents(db, part) != (reading.rows, reading.numbers):
                        return False
                    self._put_sums(db, table, part, reading)
                partitions.drop(db, part)
        except OperationalError as error:
            if not partitions.is_in_use(error):
                raise
            log.info("%s is in use; it is dropped later", table.name)
            return False
        log.info("%s was dropped; its %s", part.name, "sums stay" if reading else "time is over")
        return True

    @staticmethod
    def _put_sums(db: Connection, table: Table, part: DayPart, reading: _DayReading) -> None:
        """Insert sums; those that are there, of rows that were rolled up before, go into them."""
        t = table.c
        there = _within(table, part) & (t.device == ROLLED)
        there &= t.model.in_({group["model"] for group, _ in reading.sums})
        earlier = {_key(row): row for row in db.execute(select(table).where(there)).mappings()}
        rows, replaced = [], []
        for group, sums in reading.sums:
            before = earlier.get(_key({**group, "start": group["hour"]}))
            if before is not None:
                replaced.append(before["id"])
                sums = merged(table, [sums, before], group["hour"])
            rows.append(sum_row(group, sums))
        if replaced:
            db.execute(delete(table).where(there, t.id.in_(replaced)))
        if rows:
            db.execute(insert(table), rows)


def _within(table: Table, part: DayPart) -> ColumnElement[bool]:
    start = table.c.start
    return (start < part.end) if part.begin is None else (start >= part.begin) & (start < part.end)


def _key(row: RowMapping | Document) -> tuple[Any, ...]:
    return (*(row[name] for name in retention.SCOPE), row["start"])
