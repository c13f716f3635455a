"""Counts of declared groups of rows, added up as reports come in.

A version has one row a group and window (an hour, once that is old), and one a group and answer:
questions about groups cost the same however many devices there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, delete, func, select

from cloud_hub.database.bulk import insert_adding
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
GROUP: Final = ("model", "version", "by", "name")
SUMS: Final = ("observations", "labelled", "correct")

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


class GroupAdditions:
    """What the messages of one transaction add to the counts of groups.

    All of it is written at once, in one order: two transactions that wrote the same rows in
    different ones would wait for each other for ever.
    """

    def __init__(self) -> None:
        self._sums: Counter[tuple[str | int, ...]] = Counter()
        self._answers: Counter[tuple[str, ...]] = Counter()

    def add_predictions(
        self,
        report: WindowReport,
        histograms: Mapping[str, Mapping[str, HistogramCounts]],
        profile: ReferenceProfile,
    ) -> None:
        """Add the predictions of a report.

        Args:
            report: names the window, and has the observations of each group.
            histograms: those of the groups' outputs, decoded.
            profile: of the release; says which output is the label.
        """
        label = next((i for i, o in enumerate(profile.outputs) if o.name == "label"), None)
        names = profile.outputs[label].categories or () if label is not None else ()
        start = report.window.start
        for group, counts in _each(report.window, report.groups):
            self._sums[*group, start, "observations"] += counts.observations
            outputs = histograms[group[2]][group[3]]
            predictions = outputs.each[label].tolist() if label is not None else ()
            for answer, count in zip(names, predictions, strict=False):
                self._answers[*group, answer] += count

    def add_labels(self, report: FeedbackReport) -> None:
        """Add the late labels of a report."""
        for group, (labelled, right) in _each(report.window, report.groups):
            self._sums[*group, report.window.start, "labelled"] += labelled
            self._sums[*group, report.window.start, "correct"] += right

    def write(self, db: Connection) -> None:
        """Add all of it to the tables."""
        keys = sorted({key[:-1] for key in self._sums})
        sums = [(*key, *(self._sums[*key, name] for name in SUMS)) for key in keys]
        insert_adding(db, group_sums, (*GROUP, "start", *SUMS), sums, adds=SUMS)
        answers = [(*key, count) for key, count in sorted(self._answers.items()) if count]
        columns = (*GROUP, "answer", "predictions")
        insert_adding(db, group_answers, columns, answers, adds=("predictions",))


def _each(
    window: Window, groups: Mapping[str, Mapping[str, T]]
) -> Iterator[tuple[tuple[str, str, str, str], T]]:
    """The key of every group, and its value."""
    for column, by_group in groups.items():
        for group, value in by_group.items():
            yield (window.model, window.version, column, group), value


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
    insert_or_add(db, group_sums, hours, SUMS)
