"""Rows of ``exposures``: what devices reported of an experiment, read back as sums.

A row holds a device's sums of one arm, day and kind of message; readers say since when they count.
"""

from __future__ import annotations

import functools
import json
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Select, Text, case, cast, func, insert, select

from cloud_hub.experiments.exposure_sink import KEYS
from cloud_hub.experiments.tables import exposures
from cloud_hub.experiments.verdict.label_table import (
    LabelledHour,
    LabelTable,
    LabelTableBuilder,
    hour_of,
)
from cloud_hub.experiments.verdict.measures import SUMS, ExposureSums
from cloud_hub.statistics.label_coverage import HOUR
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.experiment_reports import Moments, Pairs
from edge_sdk.contract.names import CONTROL

DAY: Final = 86_400
"""Seconds."""

OLD: Final = 2 * DAY
"""Seconds after which the hours of a row are not told apart: a month of them by hour takes minutes
to read. What settles within a day does so as before, what takes longer up to a day later."""

FAILURE_COLUMNS: Final = ("predictions", "errors", "labelled", "correct", "measured", "error_sum")
"""Columns that guardrails on failures read."""

AT_ONCE: Final = 5_000
"""Rows that are taken from the database together."""

PAST: Final = "past"
"""Kind of the rows that hold what devices reported before an experiment began."""


@dataclass(frozen=True)
class ArmSums:
    """Sums of one device on one arm; ``received_at`` is when it last reported (Unix seconds)."""

    device: str
    arm: str
    received_at: float
    sums: ExposureSums


@dataclass(frozen=True)
class PeriodSums:
    """Sums of one device on one arm in the period that began at ``start`` (Unix seconds)."""

    device: str
    arm: str
    start: int
    sums: ExposureSums


@dataclass(frozen=True)
class PeriodGroups:
    """Late labels of one device on one arm in the period that began at ``start`` (Unix seconds).

    ``groups`` are (labelled, correct) by column and group.
    """

    device: str
    arm: str
    start: int
    groups: Mapping[str, Mapping[str, tuple[int, int]]]


@dataclass(frozen=True)
class ShadowTotals:
    """Shadow reports of one device added up; fields as in the report."""

    compared: int = 0
    disagreements: int = 0
    confidence: Moments = Moments()
    value: Moments = Moments()
    latency: Moments = Moments()
    errors: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    labelled: Pairs = Pairs()
    off: Moments = Moments()


@dataclass(frozen=True)
class InterleaveTotals:
    """Interleaving reports of one device added up; fields as in the report."""

    sessions: int = 0
    wins: Mapping[str, int] = field(default_factory=dict)
    ties: int = 0
    clicks: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KeySums:
    """Sums of one device on one arm by bucket of keys: rows of all buckets, by column.

    Columns are the fields of :class:`~edge_sdk.contract.key_buckets.BucketRequests` and of
    :class:`~edge_sdk.contract.key_buckets.BucketOutcomes`; one that is zero may be missing.
    """

    device: str
    arm: str
    columns: Mapping[str, NDArray[np.float64]]


class ExposureRows:
    """Reader of ``exposures``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sums(self, id_: str, since: int) -> list[ArmSums]:
        """Return the sums of an experiment by device and arm since ``since`` (Unix seconds)."""
        return self.sums_of_step(id_, since)[1]

    def sums_of_step(self, id_: str, began: int) -> tuple[list[ArmSums], list[ArmSums]]:
        """Return the sums of an experiment by device and arm: of all time, and of a step.

        Args:
            id_: of the experiment.
            began: when the step did, Unix seconds; what a device reported of the time before is a
                sum of its own.
        """
        c = exposures.c
        in_step = case((c.start >= began, 1), else_=0).label("in_step")
        query = (
            select(c.device, c.arm, in_step, func.max(c.received_at))
            .add_columns(*(func.sum(c[name]) for name in SUMS))
            .where(c.experiment == id_, c.kind != PAST)
            # Summed in the database: a step of ten days is ten rows a device and arm, times kinds.
            # By its name: PostgreSQL takes one expression with two parameters for two.
            .group_by(c.device, c.arm, "in_step")
        )
        ever: dict[tuple[str, str], ArmSums] = {}
        step = []
        for device, arm, here, received_at, *sums in self._rows(query):
            row = ArmSums(device, arm, received_at, ExposureSums(*sums))
            step += [row] if here else []
            before = ever.get((device, arm))
            ever[device, arm] = row if before is None else _together(before, row)
        return list(ever.values()), step

    def by_period(
        self, id_: str, since: int, columns: Sequence[str] = FAILURE_COLUMNS
    ) -> list[PeriodSums]:
        """Return sums by device, arm and period.

        Args:
            id_: of the experiment.
            since: Unix seconds.
            columns: of :data:`SUMS`; the others are 0.
        """
        c = exposures.c
        key = (c.device, c.arm, c.start)
        query = (
            select(*key, *(func.sum(c[n]) for n in columns))
            .where(c.experiment == id_, c.start >= since, c.kind.not_in((PAST, KEYS)))
            .group_by(*key)
        )
        return [
            PeriodSums(device, arm, start, ExposureSums(**dict(zip(columns, sums, strict=True))))
            for device, arm, start, *sums in self._rows(query)
        ]

    def past(self, id_: str) -> dict[str, ExposureSums]:
        """Return what each device reported before an experiment; see :func:`store_past`."""
        c = exposures.c
        query = select(c.device, *(c[name] for name in SUMS)).where(
            c.experiment == id_, c.kind == PAST
        )
        return {device: ExposureSums(*sums) for device, *sums in self._rows(query)}

    def by_arm(self, id_: str) -> dict[str, dict[int, dict[str, ExposureSums]]]:
        """Return all sums of an experiment since the start, by arm, period and device."""
        arms: dict[str, dict[int, dict[str, ExposureSums]]] = defaultdict(lambda: defaultdict(dict))
        for row in self.by_period(id_, 0, SUMS):
            arms[row.arm][row.start][row.device] = row.sums
        return arms

    def groups(self, id_: str, since: int) -> list[PeriodGroups]:
        """Return late labels by declared group of rows, by device, arm and period.

        Args:
            id_: of the experiment.
            since: Unix seconds.
        """
        c = exposures.c
        query = select(c.device, c.arm, c.start, c.detail).where(
            c.experiment == id_, c.kind == "feedback", c.start >= since, c.labelled > 0
        )
        return [
            PeriodGroups(device, arm, start, detail["groups"])
            for device, arm, start, detail in self._rows(query)
            if "groups" in detail
        ]

    def latency(self, id_: str, since: int) -> dict[str, dict[str, tuple[int, ...]]]:
        """Return latency histograms by arm and device, of as many bins each.

        Args:
            id_: of the experiment.
            since: Unix seconds.
        """
        c = exposures.c
        query = select(c.arm, c.device, cast(c.detail["latency"], Text)).where(
            c.experiment == id_, c.start >= since, c.latency_n > 0, c.kind != PAST
        )
        arms: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
        for arm, device, latency in self._rows(query):
            counts, histograms = tuple(json.loads(latency)), arms[arm]
            before = histograms.get(device)
            histograms[device] = counts if before is None else _added(before, counts)
        return arms

    def labels(self, id_: str, now: float) -> LabelTable:
        """Return the answers and labels of an experiment by device, arm and hour; old ones by row.

        Args:
            id_: of the experiment.
            now: Unix seconds.
        """
        c = exposures.c
        # Only what is read of the details, as text: most rows of a fleet have the same.
        texts = [cast(c.detail[name], Text) for name in ("answers", "labels", "served")]
        query = select(c.device, c.arm, c.start, c.predictions, c.labelled, c.correct, *texts)
        of = query.where(c.experiment == id_, c.kind.in_(("window", "feedback")))
        table = LabelTableBuilder()
        parse = functools.cache(functools.partial(_hours, now))
        for device, arm, start, predictions, labelled, correct, *details in self._rows(of):
            seat = (arm, device)
            hours, has_answers, has_labels = parse(*details)
            table.add(seat, start, hours)
            # Rows that an older hub wrote: all that is known is that they are of one day.
            if predictions and not has_answers:
                table.add(seat, start, [hour_of(start + DAY, answers=predictions)])
            if labelled and not has_labels:
                came = {"0": labelled, "right": correct}
                table.add(seat, start, [hour_of(start + DAY, came=came)])
        return table.build()

    def shadow(self, id_: str, since: int) -> list[tuple[str, ShadowTotals]]:
        """Return the shadow reports of an experiment with the devices that they are of."""
        rows = self._details(id_, "shadow", since)
        return [(device, from_plain(ShadowTotals, detail)) for device, detail in rows]

    def interleave(self, id_: str, since: int) -> list[tuple[str, InterleaveTotals]]:
        """Return the interleaving reports of an experiment with the devices that they are of."""
        rows = self._details(id_, "interleave", since)
        return [(device, from_plain(InterleaveTotals, detail)) for device, detail in rows]

    def keys(self, id_: str, since: int) -> list[KeySums]:
        """Return sums by bucket of keys, by device and arm.

        Args:
            id_: of the experiment.
            since: Unix seconds.
        """
        c = exposures.c
        query = select(c.device, c.arm, c.detail).where(
            c.experiment == id_, c.kind == KEYS, c.start >= since
        )
        return [
            KeySums(device, arm, {name: np.array(row, np.float64) for name, row in detail.items()})
            for device, arm, detail in self._rows(query)
        ]

    def _details(self, id_: str, kind: str, since: int) -> Iterator[Sequence[Any]]:
        c = exposures.c
        where = (c.experiment == id_, c.kind == kind, c.start >= since)
        return self._rows(select(c.device, c.detail).where(*where))

    def _rows(self, query: Select[Any]) -> Iterator[Sequence[Any]]:
        with self._engine.connect() as db:
            # Some thousand at a time: row by row takes three times as long, all of them much room.
            for rows in db.execute(query).partitions(AT_ONCE):
                yield from rows


def _together(before: ArmSums, more: ArmSums) -> ArmSums:
    received_at = max(before.received_at, more.received_at)
    return replace(before, received_at=received_at, sums=before.sums + more.sums)


def _by_end(
    hours: Mapping[str, Any], now: float, together: Callable[[Iterable[Any]], Any]
) -> Iterator[tuple[int, Any]]:
    """What ended in each hour, by its end (Unix seconds); ``together`` if all of it is old."""
    ends = [int(hour) * HOUR for hour in hours]
    if len(ends) > 1 and max(ends) + OLD <= now:
        yield max(ends), together(hours.values())
    else:
        yield from zip(ends, hours.values(), strict=True)


def _hours(
    now: float, answers: str | None, own: str | None, served: str | None
) -> tuple[tuple[LabelledHour, ...], bool, bool]:
    """Answers and labels of one row by hour, and whether it has any of either.

    Args:
        now: Unix seconds.
        answers: text of that part of the row's details.
        own: labels of the model's own answers, the same.
        served: labels of what was served, the same.
    """
    parts = [_document(text) for text in (answers, own, served)]
    made = _by_end(parts[0] or {}, now, sum)
    came = _by_end(_labels(parts[1] or {}, parts[2] or {}), now, _total)
    hours = (
        *(hour_of(end, answers=number) for end, number in made),
        *(hour_of(end, came=labels) for end, labels in came),
    )
    return hours, parts[0] is not None, parts[1] is not None


def _added(before: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(operator.add, before, more))


def _document(text: str | None) -> Any:
    """A part of a detail; ``None`` where it has no such part."""
    return None if text is None else json.loads(text)


def _labels(own: Mapping[str, Any], served: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Labels by hour: of the model's own answers by age, and beside them of what was served."""
    return {hour: {**own.get(hour, {}), **served.get(hour, {})} for hour in {**own, **served}}


def _total(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total.get(name, 0) + number
    return total


def store_past(db: Connection, id_: str, past: Mapping[str, ExposureSums], began: float) -> None:
    """Store what devices reported before an experiment, as it was known when it began.

    Reports by device are soon rolled up, and an experiment may outlast them. What comes later of
    the time before does not count: it may have been chosen by what came after.

    Args:
        db: transaction in which the experiment begins.
        id_: of the experiment.
        past: sums by device.
        began: Unix seconds.
    """
    key = {"experiment": id_, "start": int(began), "arm": CONTROL, "kind": PAST}
    more = {"detail": {}, "received_at": began}
    rows = [{**key, **more, "device": device, **asdict(sums)} for device, sums in past.items()]
    if rows:
        db.execute(insert(exposures), rows)
