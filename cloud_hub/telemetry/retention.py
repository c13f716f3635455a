"""Retention of reports: whole for some days, then one row an hour.

The windows of one hour become their sum over all devices. Questions ask for sums, so their answers
change in two ways only: windows are an hour long (longer ones stay as they are), and nobody can ask
for single devices any more.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Table,
    and_,
    delete,
    insert,
    select,
    update,
)

from cloud_hub.database.bulk import begin_writing
from cloud_hub.database.documents import Document
from cloud_hub.database.engine import transaction
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.telemetry.groups import roll_up as roll_up_groups
from cloud_hub.telemetry.ranking_rows import ranking_sums
from cloud_hub.telemetry.summed_bodies import merged_bodies
from cloud_hub.telemetry.tables import (
    ROLLED,
    feedback,
    ledgers,
    messages,
    personal_reports,
    reports,
    samples,
    tensor_samples,
    totals,
    votes,
    window_sums,
)
from cloud_hub.telemetry.window_sums import ERRORS, LABELS, WindowSumKey, add_sums, adding
from cloud_hub.telemetry.window_sums import roll_up as roll_up_windows

HOUR: Final = 3_600
DAY: Final = 86_400.0
MESSAGE_DAYS: Final = 30.0
"""Days that names of messages are stored, to recognise one that is sent again."""

LEDGER_DAYS: Final = 40.0
"""Days that ledgers of devices are kept: names of messages are forgotten before."""

ROWS: Final = 500
"""Rows that are added to a sum in one transaction: others write between two."""

STEPS: Final = 200
"""Transactions in one go, so that the loop's other parts get their turn."""

Spans = Sequence[tuple[int, int]]
"""Times ``begin <= start < end``, in Unix seconds."""

NONE: Final[Mapping[str, Spans]] = MappingProxyType({})

SCOPE: Final = ("model", "version", "experiment", "arm")
LABEL_SUMS: Final = (
    "labelled", "correct", "own_labelled", "own_correct",
    "measured", "error_sum", "error_squares", "error_fourths",
)  # fmt: skip
"""Columns of ``feedback`` that add up."""


def clean(
    engine: Engine, model: str, now: float, retention: Retention, kept: Mapping[str, Spans] = NONE
) -> int:
    """Roll up and delete rows that are due.

    Args:
        engine: the database.
        model: name of the model.
        now: Unix seconds.
        retention: days to keep, of the model's policy.
        kept: by table, times whose rows are not rolled up here; see :mod:`daily_retention`.

    Returns:
        Number of rows that were added to a sum.
    """
    with transaction(engine) as db:
        begin_writing(db)
        for table, column, days in (
            (reports, reports.c.start, retention.sum_days),
            (feedback, feedback.c.start, retention.sum_days),
            (window_sums, window_sums.c.start, retention.sum_days),
            (ranking_sums, ranking_sums.c.day, retention.sum_days),
            (votes, votes.c.period, retention.vote_days),
            (samples, samples.c.taken, retention.sample_days),
            (tensor_samples, tensor_samples.c.taken, retention.sample_days),
            (personal_reports, personal_reports.c.received_at, retention.sum_days),
        ):
            db.execute(delete(table).where(table.c.model == model, column < now - days * DAY))
        # A whole hour, so that no hour is half rolled up.
        cutoff = int((now - retention.report_days * DAY) // HOUR * HOUR)
        roll_up_windows(db, model, cutoff=cutoff)
        roll_up_groups(db, model, cutoff=cutoff, forget=now - retention.sum_days * DAY)
    steps = _steps(engine, model, cutoff, kept)
    return sum(itertools.islice(steps, STEPS))


def _steps(engine: Engine, model: str, cutoff: int, kept: Mapping[str, Spans]) -> Iterator[int]:
    """One transaction after the other, until nothing from before ``cutoff`` is whole."""
    for table in (reports, feedback):
        t = table.c
        due = (t.model == model) & (t.start < cutoff)
        for begin, end in kept.get(table.name, ()):
            due &= (t.start < begin) | (t.start >= end)
        for group in groups_of(engine, table, due):
            while rows := _roll_up(engine, table, group):
                yield rows
                if rows < ROWS:
                    break  # the last batch of this hour


def forget_names(engine: Engine, now: float) -> None:
    """Delete the names of old messages, and ledgers of days before.

    A message that is sent again after that counts twice.
    """
    with transaction(engine) as db:
        db.execute(delete(messages).where(messages.c.at < now - MESSAGE_DAYS * DAY))
        db.execute(delete(ledgers).where(ledgers.c.day < now - LEDGER_DAYS * DAY))


def groups_of(engine: Engine, table: Table, due: ColumnElement[bool]) -> list[RowMapping]:
    """Return scopes and hours that have whole rows, oldest first.

    Args:
        engine: the database.
        table: ``reports`` or ``feedback``.
        due: which of its rows.
    """
    t = table.c
    hour = (t.start // HOUR * HOUR).label("hour")
    query = (
        select(t.model, t.version, t.experiment, t.arm, hour)
        .where(due, is_whole(table))
        .group_by(t.model, t.version, t.experiment, t.arm, hour)
        .order_by(hour)
    )
    with engine.connect() as db:
        return list(db.execute(query).mappings())


def rows_of(table: Table, group: RowMapping) -> ColumnElement[bool]:
    """Rows of one scope and hour, its sum among them."""
    hour, t = group["hour"], table.c
    # experiment may be NULL, which equals nothing in SQL.
    same = (t[n].is_(None) if group[n] is None else t[n] == group[n] for n in SCOPE)
    return and_(t.start >= hour, t.start < hour + HOUR, *same)


def merged(table: Table, rows: Sequence[RowMapping | Document], hour: int) -> Document:
    """Return what the sum of rows has, but for scope, device and start.

    Args:
        table: ``reports`` or ``feedback``.
        rows: of one scope and hour; sums may be among them.
        hour: its start, Unix seconds.
    """
    return _merged_reports(rows, hour) if table is reports else _merged_feedback(rows)


def is_whole(table: Table) -> ColumnElement[bool]:
    """Rows as a device sent them that are to be rolled up: of windows shorter than an hour."""
    whole = table.c.device != ROLLED
    return whole & (table.c.end - table.c.start < HOUR) if table is reports else whole


def _roll_up(engine: Engine, table: Table, group: RowMapping) -> int:
    """Add some whole rows of one scope and hour to its sum; return how many."""
    hour, t, here = group["hour"], table.c, rows_of(table, group)
    # One transaction: a hub that dies here has either the rows or their sum, never both.
    with transaction(engine) as db:
        # Sums of windows are read, and written back: nobody may add to them in between.
        begin_writing(db)
        whole = _rows(db, select(table).where(here & is_whole(table)).limit(ROWS))
        if not whole:
            return 0
        sums = _rows(db, select(table).where(here, t.device == ROLLED))
        older = [row for row in (*whole, *sums) if not row["summed"]]
        _add_older(db, table, WindowSumKey(*_scope(group), hour, hour + HOUR, 0), older)
        if table is reports:
            _add_totals(db, [row for row in whole if not row["summed"]])
        # The time too: where the table is divided by days, others are not looked at.
        db.execute(delete(table).where(here, t.id.in_([row["id"] for row in (*whole, *sums)])))
        row = sum_row(group, merged(table, [*whole, *sums], hour))
        db.execute(insert(table).values(**row))
    return len(whole)


def sum_row(group: RowMapping, sums: Document) -> Document:
    """Return the row that is the sum of a scope and hour; ``sums`` as :func:`merged` has them."""
    named = {name: group[name] for name in SCOPE}
    return {**named, "device": ROLLED, "start": group["hour"], "summed": 1, **sums}


def _scope(group: RowMapping) -> tuple[str, str, str, str]:
    """Return the values of :data:`SCOPE` as ``window_sums`` has them."""
    return group["model"], group["version"], group["experiment"] or "", group["arm"]


def _add_older(db: Connection, table: Table, key: WindowSumKey, rows: Sequence[RowMapping]) -> None:
    """Add rows of an older hub to the sums of windows: from here on they are among the summed."""
    if not rows:
        return
    names = ("observations",) if table is reports else (*LABELS, *ERRORS)
    numbers = {name: sum(row[name] for row in rows) for name in names}
    bodies = [row["body"] for row in rows] if table is reports else []
    add_sums(db, {key: (numbers, adding(bodies))})


def _rows(db: Connection, query: Any) -> list[RowMapping]:
    return list(db.execute(query).mappings())


def _add_totals(db: Connection, rows: Sequence[Any]) -> None:
    """Add to the number of predictions of each device, which the sum does not have any more."""
    made: Counter[tuple[str, str]] = Counter()
    for row in rows:
        made[row["model"], row["device"]] += row["predictions"]
    for (model, device), count in made.items():
        here = (totals.c.model == model) & (totals.c.device == device)
        change = update(totals).where(here).values(predictions=totals.c.predictions + count)
        if not db.execute(change).rowcount:
            db.execute(insert(totals).values(model=model, device=device, predictions=count))


def _merged_reports(rows: Sequence[RowMapping | Document], hour: int) -> Document:
    return {
        "end": hour + HOUR,
        **{n: sum(row[n] for row in rows) for n in ("observations", "predictions", "failures")},
        "body": merged_bodies([row["body"] for row in rows]),
    }


def _merged_feedback(rows: Sequence[RowMapping | Document]) -> Document:
    sums = {name: sum(row[name] for row in rows) for name in LABEL_SUMS}
    others = ("rewards", "reward_sum", "reward_squares", "unmatched")
    body = {name: sum(row["body"].get(name, 0) for row in rows) for name in others}
    sources: dict[str, list[int]] = {}  # (labelled, correct) by source of the prediction
    for row in rows:
        for source, pair in row["body"].get("by_source", {}).items():
            sums_so_far = sources.get(source, [0, 0])
            sources[source] = [sums_so_far[0] + pair[0], sums_so_far[1] + pair[1]]
    return {**sums, "body": {**sums, **body, "by_source": sources}}
