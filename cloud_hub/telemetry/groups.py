"""Counts of declared groups of rows, added up as reports come in.

A version has one row a group and window (an hour, once that is old), and one a group and answer:
questions about groups cost the same however many devices there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, delete, func, select

from cloud_hub.database.engine import insert_or_add
from cloud_hub.errors import Invalid
from cloud_hub.telemetry.tables import group_answers, group_sums
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.contract.window import Window
from edge_sdk.telemetry.histograms import HistogramCounts

T = TypeVar("T")
HOUR: Final = 3_600
NO_LABELS: Final = {"labelled": 0, "correct": 0}

Counts = dict[str, dict[str, tuple[int, int]]]
"""By column and group: all, and those of them that count."""


class GroupWindow(NamedTuple):
    """One group in one window, over all devices; ``start`` in Unix seconds."""

    column: str
    group: str
    start: int
    observations: int
    labelled: int
    correct: int


def check_groups(groups: Mapping[str, Mapping[str, Any]], declared: Iterable[GroupColumn]) -> None:
    """Refuse groups that the release does not declare; raises Invalid."""
    names = {column.name: column.groups for column in declared}
    for column, by_group in groups.items():
        if column not in names:
            raise Invalid(f"groups: {column!r} is declared by no release, {sorted(names)} are")
        unknown = sorted(set(by_group) - set(names[column]))
        if unknown:
            raise Invalid(f"groups: {column} has no group {unknown[0]!r}"[:200])


def add_predictions(
    db: Connection,
    report: WindowReport,
    histograms: Mapping[str, Mapping[str, HistogramCounts]],
    profile: ReferenceProfile,
) -> None:
    """Add the predictions of a report, in its transaction.

    Args:
        db: of the transaction.
        report: names the window, and has the observations of each group.
        histograms: those of the groups' outputs, decoded.
        profile: of the release; says which output is the label.
    """
    label = next((i for i, o in enumerate(profile.outputs) if o.name == "label"), None)
    names = profile.outputs[label].categories or () if label is not None else ()
    sums, answers = [], []
    for named, counts in _each(report.window, report.groups):
        outputs = histograms[named["by"]][named["name"]]
        sums.append(
            {
                **named,
                "start": report.window.start,
                "observations": counts.observations,
                **NO_LABELS,
            }
        )
        predictions = outputs.each[label].tolist() if label is not None else ()
        answers += [
            {**named, "answer": answer, "predictions": count}
            for answer, count in zip(names, predictions, strict=False)
            if count
        ]
    insert_or_add(db, group_sums, sums, ("observations",))
    insert_or_add(db, group_answers, answers, ("predictions",))


def add_labels(db: Connection, report: FeedbackReport) -> None:
    """Add the late labels of a report, in its transaction."""
    rows = [
        {**named, "start": report.window.start, "observations": 0, "labelled": n, "correct": right}
        for named, (n, right) in _each(report.window, report.groups)
    ]
    insert_or_add(db, group_sums, rows, ("labelled", "correct"))


def _each(
    window: Window, groups: Mapping[str, Mapping[str, T]]
) -> Iterator[tuple[dict[str, Any], T]]:
    """The key of every group, and its value.

    In one order: two transactions that wrote the same rows in different ones would wait for each
    other for ever.
    """
    for column, by_group in sorted(groups.items()):
        for group, value in sorted(by_group.items()):
            of = {"model": window.model, "version": window.version}
            yield {**of, "by": column, "name": group}, value


class GroupSums:
    """Questions about the groups of one version after the other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def windows(
        self, model: str, version: str, *, after: int = 0, until: float = float("inf")
    ) -> list[GroupWindow]:
        """Return every group's windows in order of time.

        Args:
            model: name.
            version: of the model.
            after: least start, Unix seconds.
            until: starts are below, Unix seconds.
        """
        s = group_sums.c
        query = (
            select(s.by, s.name, s.start, s.observations, s.labelled, s.correct)
            .where(s.model == model, s.version == version, s.start >= after, s.start < until)
            .order_by(s.start, s.by, s.name)
        )
        return [GroupWindow(*row) for row in self._all(query)]

    def labels(self, model: str, version: str, *, until: float) -> Counts:
        """Return (labelled, correct) of predictions by column and group.

        Args:
            model: name.
            version: of the model.
            until: only predictions that were made before, Unix seconds.
        """
        s = group_sums.c
        query = (
            select(s.by, s.name, func.sum(s.labelled), func.sum(s.correct))
            .where(s.model == model, s.version == version, s.start < until)
            .group_by(s.by, s.name)
        )
        counts: Counts = {}
        for column, group, labelled, correct in self._all(query):
            counts.setdefault(column, {})[group] = (int(labelled), int(correct))
        return counts

    def answers(self, model: str, version: str) -> dict[str, dict[str, dict[str, int]]]:
        """Return predictions by column, group and answer."""
        a = group_answers.c
        query = select(a.by, a.name, a.answer, a.predictions).where(
            a.model == model, a.version == version
        )
        by_column: dict[str, dict[str, dict[str, int]]] = {}
        for column, group, answer, count in self._all(query):
            by_column.setdefault(column, {}).setdefault(group, {})[answer] = count
        return by_column

    def _all(self, query: Any) -> list[Any]:
        with self._engine.connect() as db:
            return list(db.execute(query).all())


def roll_up(db: Connection, model: str, *, cutoff: int, forget: float) -> None:
    """Make old windows into hours, and forget the oldest.

    Args:
        db: of the transaction.
        model: name.
        cutoff: a whole hour, Unix seconds; windows that start before become hours.
        forget: Unix seconds; what starts before is deleted.
    """
    s = group_sums.c
    db.execute(delete(group_sums).where(s.model == model, s.start < forget))
    whole = (s.model == model) & (s.start < cutoff) & (s.start % HOUR != 0)
    rows = db.execute(select(group_sums).where(whole)).mappings().all()
    db.execute(delete(group_sums).where(whole))
    hours = [{**row, "start": row["start"] // HOUR * HOUR} for row in rows]
    insert_or_add(db, group_sums, hours, ("observations", "labelled", "correct"))
