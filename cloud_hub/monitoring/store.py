"""The tables of monitoring: states, figures, alarms and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, delete, insert, select, update

from cloud_hub.database.documents import Document, as_document
from cloud_hub.database.engine import transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.monitoring.tables import alarms, baselines, figures, states
from cloud_hub.statistics.detectors.concept import ErrorDetector

if TYPE_CHECKING:
    from cloud_hub.monitoring.findings import Finding, FleetWindow

REFUSED: Final = "refused"
"""Kind of the alarm on a version that devices refuse; the name is the version."""


@dataclass
class GroupErrors:
    """Late labels of one group of rows since its ``base`` rate of errors was set."""

    base: float | None = None
    errors: int = 0
    labelled: int = 0
    detector: ErrorDetector = field(default_factory=ErrorDetector)


@dataclass
class MeanError:
    """Errors so far; plain values, to be stored.

    ``base`` is a share of ``largest``, the bound of an error that they were cut at; ``count``,
    ``shares`` and ``squares`` (of shares) are since the base was set.
    """

    largest: float | None = None
    base: float | None = None
    count: float = 0.0
    shares: float = 0.0
    squares: float = 0.0
    detector: ErrorDetector = field(default_factory=ErrorDetector)


@dataclass
class Concept:
    """Late labels of one version so far.

    ``scored_to`` is where scoring goes on (Unix seconds); ``base`` the base rate of errors, ``own``
    those of single devices; ``counts`` are (errors, labels) by device since the base was set;
    ``groups`` by declared group of rows, such as ``sex=f``; ``sizes`` are errors of numbers.
    """

    scored_to: int = 0
    base: float | None = None
    own: dict[str, float] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=dict)
    detector: ErrorDetector = field(default_factory=ErrorDetector)
    groups: dict[str, GroupErrors] = field(default_factory=dict)
    sizes: MeanError = field(default_factory=MeanError)


@dataclass
class MonitoringState:
    """State of monitoring between two evaluations of a version: the end of the newest window that
    was evaluated (Unix seconds), windows in a row by signal, and late labels.
    """

    watched_to: int = 0
    streaks: dict[str, int] = field(default_factory=dict)
    concept: Concept = field(default_factory=Concept)


@dataclass(frozen=True)
class Alarm:
    """An alarm, open until somebody acknowledges it. ``start`` is that of its window; ``seen_at``
    is when its signal was alarming last; times in Unix seconds. ``expected`` says why nobody need
    be alarmed: a rare day.
    """

    id: int
    model: str
    version: str
    signal: str
    kind: str
    raised_at: float
    start: int
    seen_at: float
    evidence: Document
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    expected: str | None = None


@dataclass(frozen=True)
class FigureRecord:
    """The finding of a signal in one window, ``start`` to ``end`` in Unix seconds."""

    id: int
    model: str
    version: str
    signal: str
    kind: str
    start: int
    end: int
    alarming: bool
    effect: float
    figures: Document
    expected: str | None = None


class MonitoringStore:
    """States, figures, alarms and baselines of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alone(self) -> AbstractContextManager[None]:
        """Return a context that one thread of all workers enters at a time.

        Answers come while the loop evaluates.
        """
        return exclusive(self._engine, "monitoring")

    def state(self, model: str, version: str) -> MonitoringState:
        """Return where monitoring of a version goes on: at the beginning if it is new."""
        query = select(states).where(states.c.model == model, states.c.version == version)
        with self._engine.connect() as db:
            row = db.execute(query).mappings().first()
        if row is None:
            return MonitoringState()
        return MonitoringState(row["watched_to"], dict(row["streaks"]), _concept(row["concept"]))

    def save(
        self,
        model: str,
        version: str,
        state: MonitoringState,
        findings: Sequence[tuple[Finding, int, int]],
        raised: Sequence[tuple[Finding, int]],
        now: float,
    ) -> None:
        """Store the outcome of an evaluation, all or nothing.

        Args:
            model: name of the model.
            version: the version that was evaluated.
            state: where monitoring goes on after it.
            findings: (finding, start, end of its window).
            raised: (finding, start of its window) of alarms.
            now: time of the evaluation, Unix seconds.
        """
        named = {"model": model, "version": version}
        with transaction(self._engine) as db:
            _put_state(db, named, state)
            rows = [
                {**named, **as_document(finding), "start": start, "end": end}
                for finding, start, end in findings
            ]
            if rows:
                db.execute(insert(figures), rows)
            for finding, start in raised:
                _raise(db, named, finding, start, now)

    def alarms(
        self, model: str, *, version: str | None = None, since: float = 0.0, open_only: bool = True
    ) -> list[Alarm]:
        """Return alarms, oldest first.

        Args:
            model: name of the model.
            version: only of this version.
            since: only those that were alarming then or later, Unix seconds.
            open_only: without those that were acknowledged.
        """
        query = select(alarms).where(alarms.c.model == model, alarms.c.seen_at >= since)
        if open_only:
            query = query.where(alarms.c.acknowledged_at.is_(None))
        if version is not None:
            query = query.where(alarms.c.version == version)
        with self._engine.connect() as db:
            return [Alarm(**row) for row in db.execute(query.order_by(alarms.c.id)).mappings()]

    def raise_alarm(
        self, model: str, version: str, signal: str, evidence: Mapping[str, Any], now: float
    ) -> bool:
        """Raise an alarm that windows do not show; return False if it is open already.

        The evidence of a refused version that is open is replaced by the newer one.

        Args:
            model: name of the model.
            version: of that model.
            signal: ``KIND:NAME``.
            evidence: plain JSON.
            now: Unix seconds.
        """
        kind = signal.partition(":")[0]
        # As part of the open transaction if there is one: what led to it may be decided in it.
        with transaction(self._engine) as db:
            named = {"model": model, "version": version}
            renew = kind == REFUSED  # which grows, device by device
            return _latch(db, named, (signal, kind), evidence, int(now), now, renew=renew)

    def acknowledge(self, model: str, signal: str, actor: str, now: float) -> int:
        """Acknowledge the open alarms of a signal.

        Args:
            model: name of the model.
            signal: such as ``drift:age``.
            actor: the person.
            now: Unix seconds.

        Returns:
            Number of alarms that were open.
        """
        change = update(alarms).where(
            alarms.c.model == model, alarms.c.signal == signal, alarms.c.acknowledged_at.is_(None)
        )
        with transaction(self._engine) as db:
            done = db.execute(change.values(acknowledged_at=now, acknowledged_by=actor))
        return int(done.rowcount)

    def close_expected(self, model: str, day: str, now: float) -> int:
        """Acknowledge the open alarms of a model that were expected, for their day is over.

        Or they would hide what is raised on other days.

        Args:
            model: name of the model.
            day: why, in place of a person's name.
            now: Unix seconds.

        Returns:
            Number of alarms that were open.
        """
        a = alarms.c
        open_ = (a.model == model) & a.acknowledged_at.is_(None) & a.expected.is_not(None)
        with transaction(self._engine) as db:
            done = db.execute(
                update(alarms).where(open_).values(acknowledged_at=now, acknowledged_by=day)
            )
        return int(done.rowcount)

    def figures(
        self, model: str, *, signal: str | None, version: str | None, since: float, limit: int
    ) -> list[FigureRecord]:
        """Return the newest figures, oldest first.

        Args:
            model: name of the model.
            signal: only of this signal.
            version: only of this version.
            since: only of windows that began then or later, Unix seconds.
            limit: number of rows at most.
        """
        f = figures.c
        query = select(figures).where(f.model == model, f.start >= since)
        if signal is not None:
            query = query.where(f.signal == signal)
        if version is not None:
            query = query.where(f.version == version)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(f.id.desc()).limit(limit)).mappings().all()
        return [FigureRecord(**row) for row in reversed(rows)]

    def effects(self, model: str, version: str, kind: str) -> dict[str, list[float]]:
        """Return the effects by signal of windows in which it was not alarming, newest first.

        Args:
            model: name of the model.
            version: of that model.
            kind: of signals, such as ``drift``.
        """
        f = figures.c
        query = select(f.signal, f.effect).where(
            f.model == model, f.version == version, f.kind == kind, f.alarming.is_(False)
        )
        effects: dict[str, list[float]] = {}
        with self._engine.connect() as db:
            for signal, effect in db.execute(
                query.order_by(f.id.desc()).limit(10_000)
            ):  # about a month
                effects.setdefault(signal, []).append(effect)
        return effects

    def spans(
        self, model: str, version: str, signal: str, *, since: float, before: int
    ) -> list[tuple[int, int]]:
        """Return (start, end) of the windows that a signal was evaluated in, newest first.

        Args:
            model: name of the model.
            version: of that model.
            signal: such as ``drift:age``.
            since: windows that began then or later, Unix seconds.
            before: windows that began earlier than this, Unix seconds.
        """
        f = figures.c
        query = (
            select(f.start, f.end)
            .where(f.model == model, f.version == version, f.signal == signal)
            .where(f.start >= since, f.start < before)
            .order_by(f.start.desc())
        )
        with self._engine.connect() as db:
            return [(start, end) for start, end in db.execute(query)]

    def set_baseline(self, model: str, version: str, name: str, window: FleetWindow) -> None:
        """Make a window the baseline of each device from now on.

        Args:
            model: name of the model.
            version: of that model.
            name: of the feature or output.
            window: histograms by device.
        """
        here = (baselines.c.model == model) & (baselines.c.version == version)
        here &= baselines.c.name == name
        named = {"model": model, "version": version, "name": name}
        rows = window.histograms[name].tolist()
        with transaction(self._engine) as db:
            db.execute(delete(baselines).where(here))
            pairs = zip(window.devices, rows, strict=True)
            db.execute(insert(baselines), [{**named, "device": d, "counts": c} for d, c in pairs])

    def baselines(self, model: str, version: str) -> dict[str, dict[str, NDArray[np.int64]]]:
        """Return histograms [bins + 2] by name and device, of names that have a baseline."""
        b = baselines.c
        query = select(b.name, b.device, b.counts).where(b.model == model, b.version == version)
        histograms: dict[str, dict[str, NDArray[np.int64]]] = {}
        with self._engine.connect() as db:
            for name, device, counts in db.execute(query):
                histograms.setdefault(name, {})[device] = np.asarray(counts, np.int64)
        return histograms

    def forget(self, before: float) -> None:
        """Delete figures of windows that began before a time in Unix seconds."""
        with transaction(self._engine) as db:
            db.execute(delete(figures).where(figures.c.start < before))


def _concept(stored: Document) -> Concept:
    detector = ErrorDetector(**stored["detector"])
    groups = {
        name: GroupErrors(**{**group, "detector": ErrorDetector(**group["detector"])})
        for name, group in stored.get("groups", {}).items()  # absent before groups were declared
    }
    sizes = dict(stored.get("sizes", {}))  # absent before errors of numbers were watched
    if "detector" in sizes:
        sizes["detector"] = ErrorDetector(**sizes["detector"])
    return Concept(
        **{**stored, "detector": detector, "groups": groups, "sizes": MeanError(**sizes)}
    )


def _put_state(db: Connection, named: dict[str, str], state: MonitoringState) -> None:
    here = (states.c.model == named["model"]) & (states.c.version == named["version"])
    # Delete and insert, as both databases know it: there is one row a version.
    db.execute(delete(states).where(here))
    document = {**vars(state), "concept": _concept_document(state.concept)}
    db.execute(insert(states).values(**named, **document))


def _concept_document(concept: Concept) -> Document:
    """The state of late labels as JSON; ``asdict`` would copy the counts of each device first."""
    return {
        **vars(concept),
        "detector": asdict(concept.detector),
        "groups": {name: asdict(group) for name, group in concept.groups.items()},
        "sizes": asdict(concept.sizes),
    }


def _raise(db: Connection, named: dict[str, str], finding: Finding, start: int, now: float) -> None:
    """Add an alarm; one that is open already is only seen again."""
    evidence = {"effect": finding.effect, **as_document(finding.figures)}
    signal = (finding.signal, finding.kind)
    _latch(db, named, signal, evidence, start, now, expected=finding.expected)


def _latch(
    db: Connection,
    named: dict[str, str],
    signal: tuple[str, str],
    evidence: Mapping[str, Any],
    start: int,
    now: float,
    *,
    expected: str | None = None,
    renew: bool = False,
) -> bool:
    a = alarms.c
    here = (a.model == named["model"]) & (a.version == named["version"])
    here &= (a.signal == signal[0]) & a.acknowledged_at.is_(None)
    if expected is None:
        # What was expected and is so no more is another alarm.
        ended = {"acknowledged_at": now, "acknowledged_by": "calendar: unlike the last such day"}
        db.execute(update(alarms).where(here, a.expected.is_not(None)).values(**ended))
    # The latch: while an alarm is open, no second one of its signal is added.
    again = {"seen_at": now, **({"evidence": dict(evidence)} if renew else {})}
    if db.execute(update(alarms).where(here).values(**again)).rowcount:
        return False
    row = {"signal": signal[0], "kind": signal[1], "evidence": dict(evidence), "expected": expected}
    db.execute(insert(alarms).values(**named, **row, raised_at=now, seen_at=now, start=start))
    return True
