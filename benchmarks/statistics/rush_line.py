"""A simulated model line under one policy, with what the hub decides decided by the hub's own code.

Rules, budget, latch, gate and its wear, the mark and the way back are the hub's pure functions. As
in the hub there is one run at a time, it waits for rows and for the end of a canary, and is
cancelled when the day is over for which it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.statistics.rush_history import BEGIN, DAY, DAYS, FEATURES, HOUR, Rows, Step
from cloud_hub.calendar.occurrence import Occurrence, last_before, open_at, spans
from cloud_hub.data.dataset import Dataset
from cloud_hub.policy.schema.sections import GatePolicy, Policy, TriggerRule
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.runs.gate import Check, Costs, Slice, failures, judge, verdicts_on
from cloud_hub.runs.jobs import held_back
from cloud_hub.runs.rare_days import NORMAL_DAYS
from cloud_hub.rush.decision import wins
from cloud_hub.statistics.reuse import Wear
from cloud_hub.triggers.facts import (
    Facts,
    LabelBatch,
    LabelCounts,
    StartedRun,
    TriggerState,
    VersionFacts,
)
from cloud_hub.triggers.latching import counted, evaluate

CANARY: Final = 2 * HOUR
"""Seconds from the gate until a version serves everybody."""

DEVICES: Final = 20


@dataclass(frozen=True)
class Version:
    """A version, when it was published (Unix seconds), the day that it was trained on, and the
    version that served before that.
    """

    number: int
    published: float
    coefficients: NDArray[np.float64]
    day: Occurrence | None = None
    before: Version | None = None

    def wrong(self, rows: Rows) -> NDArray[np.float64]:
        """1 for each row [N] that it answers wrongly, else 0."""
        answers = rows[0] @ self.coefficients[:-1] + self.coefficients[-1] > 0
        wrong: NDArray[np.float64] = (answers != rows[1]).astype(np.float64)
        return wrong

    def score(self, rows: Rows) -> float:
        """Accuracy."""
        return 1 - float(self.wrong(rows).mean())


@dataclass
class PendingRun:
    """A run that waits: why, the begin of its rows, and since when (Unix seconds)."""

    kind: str
    since: float
    created: float


@dataclass
class Line:
    """A model line, and everything that it has seen. ``holdout`` and its number are its owner's."""

    policy: Policy
    serving: Version
    holdout: Rows
    refreshed: int = 0
    since: float = BEGIN
    versions: int = 1
    trial: tuple[float, Version] | None = None
    pending: PendingRun | None = None
    seen: list[tuple[float, Rows]] = field(default_factory=list)
    batches: list[LabelBatch] = field(default_factory=list)
    states: dict[str, TriggerState] = field(default_factory=dict)
    started: list[StartedRun] = field(default_factory=list)
    uses: list[tuple[float, str, tuple[int, int]]] = field(default_factory=list)
    days: tuple[Occurrence, ...] = ()

    def __post_init__(self) -> None:
        self.days = self.policy.calendar.occurrences(BEGIN - 400 * DAY, BEGIN + (DAYS + 400) * DAY)

    def report(self, step: Step, rows: Rows) -> None:
        """Take the labels of a step, device by device."""
        self.seen.append((step.begin, rows))
        right = 1 - self.serving.wrong(rows).astype(np.int64)
        first = self.batches[-1].order + 1 if self.batches else 0
        recent = [b for b in self.batches if b.start >= step.begin - 2 * DAY]
        self.batches = recent + [
            LabelBatch(first + i, step.begin, f"d{i}", len(part), int(part.sum()), step.end)
            for i, part in enumerate(np.array_split(right, DEVICES))
            if len(part)
        ]

    def act(self, now: float) -> None:
        """Do what a tick of the hub does."""
        self._end_trial(now)
        self._end_day(now)
        if self.policy.rules:
            self._ask_triggers(now)
            self._go_on_with_run(now)

    def _end_trial(self, now: float) -> None:
        if self.trial is None or self.trial[0] > now:
            return
        (_, version), self.trial = self.trial, None
        if version.day is None or now < version.day.end:
            self._serve(version, now)

    def _end_day(self, now: float) -> None:
        day, before = self.serving.day, self.serving.before
        if day is None or before is None or now < day.end:
            return
        if self.trial is not None and self.trial[1].day == day:
            self.trial = None
        since = day.begin - NORMAL_DAYS * DAY
        normal = _joined([rows for at, rows in self.seen if since <= at < day.begin])
        rows = {"fresh": _part(normal, _held(normal)), "history": self.holdout}
        gate = replace(self.policy.gate, max_fresh_drop=0.0, max_forgetting=0.0)
        checks = self._judged(self.serving, before, rows, gate, now, since=since, until=day.begin)
        won, _ = wins(checks)
        kept = replace(self.serving, day=None, before=None)
        self.serving = kept if won else before
        self.since = self.since if won else now

    def _ask_triggers(self, now: float) -> None:
        facts = self._facts(now)
        for rule in self.policy.rules:
            state = self.states.get(rule.name, TriggerState())
            runs = counted(rule, self.started)
            decision = evaluate(rule, facts, state, self.policy.budget, runs)
            self.states[rule.name] = decision.state
            if decision.outcome == "fired" and self.pending is None:
                kind = rule.when.kind
                self.pending = PendingRun(kind, self._rows_since(rule, now), now)
                self.started.append(StartedRun(now, kind))

    def _rows_since(self, rule: TriggerRule, now: float) -> float:
        """Return where the rows of a firing begin."""
        looked = rule.when.performance
        begin = now - looked.lookback_seconds if looked is not None else 0.0
        return max(self.serving.published, begin)

    def _facts(self, now: float) -> Facts:
        recent = [b for b in self.batches if b.start >= max(self.since, now - DAY)]
        labels = []
        for at, group in groupby(recent, key=lambda batch: batch.start):
            window = list(group)
            right = sum(batch.correct for batch in window)
            count = sum(batch.labelled for batch in window)
            labels.append(LabelCounts(at, count, right, window[0].available_at))
        name = str(self.serving.number)
        return Facts(
            now, self.since, VersionFacts(name, self.serving.published, 1_000),
            labels=tuple(labels), batches={"": {"": tuple(recent)}},
            days=tuple(day for day in self.days if now < day.end),
        )  # fmt: skip

    def _go_on_with_run(self, now: float) -> None:
        run, train = self.pending, self.policy.train
        if run is None or train is None:
            return
        today = open_at(self.days, now)
        fresh = self._fresh(run, today, train.minimum_samples)
        if run.kind == "day" and today is None:
            self.pending = None
        elif self.trial is None and len(fresh[1]) >= train.minimum_samples:
            self.pending = None
            self._train(run, fresh, today, now)
        elif self.trial is None and now - run.created > train.wait_seconds:
            self.pending = None

    def _fresh(self, run: PendingRun, today: Occurrence | None, needed: int) -> Rows:
        """Rows of a run: of the day, while they are too few also of the last one; or ordinary."""
        if today is None:
            rare = spans(self.days)
            return self._rows(lambda at: at >= run.since and not any(a <= at < b for a, b in rare))
        fresh = self._rows(lambda at: at >= today.begin)
        last = last_before(self.days, today)
        if last is None or len(fresh[1]) >= needed:
            return fresh
        return self._rows(lambda at: at >= today.begin or at in last)

    def _rows(self, chosen: Callable[[float], bool]) -> Rows:
        return _joined([rows for at, rows in self.seen if chosen(at)])

    def _train(self, run: PendingRun, fresh: Rows, today: Occurrence | None, now: float) -> None:
        held = _held(fresh)
        training = _part(fresh, ~held)
        if len(np.unique(training[1])) < 2:
            return
        marked = self.serving.day is not None
        before = None if today is None else self.serving.before if marked else self.serving
        self.versions += 1
        candidate = Version(self.versions, now, fitted(training), today, before)
        gate = self.policy.gate
        declared = self.policy.calendar.day(today.day) if today is not None else None
        if declared is not None and declared.max_forgetting is not None:
            gate = replace(gate, max_forgetting=declared.max_forgetting)
        rows = {"fresh": _part(fresh, held)}
        if gate.max_forgetting < 1:  # as the hub: else the holdout is not asked
            rows["history"] = self.holdout
        since = run.since if today is None else today.begin
        if not failures(self._judged(candidate, self.serving, rows, gate, now, since=since)):
            self.trial = (now + CANARY, candidate)

    def _judged(
        self, candidate: Version, incumbent: Version, rows: dict[str, Rows], gate: GatePolicy,
        now: float, *, since: float, until: float = float("inf"),
    ) -> list[Check]:  # fmt: skip
        """The gate's checks; the rows of before wear as they do in the hub."""
        holdout = f"holdout {self.refreshed}"
        used: dict[str, Callable[[float, str], bool]] = {
            "fresh": lambda at, data: data == "fresh" and since < at <= until,
            "history": lambda at, data: data == holdout,
        }
        wear = {}
        for name in rows:
            uses = [checks for at, data, checks in self.uses if used[name](at, data)]
            wear[name] = Wear(len(uses), sum(n for n, _ in uses), sum(d for _, d in uses))
        slices = {
            name: Slice(
                ReleaseAnswers(candidate.wrong(each)), ReleaseAnswers(incumbent.wrong(each)), {}
            )
            for name, each in rows.items()
        }
        checks = judge(slices, gate, Costs(1, 1), wear=wear)
        for name in rows:
            told = verdicts_on(name, checks)
            decided = sum(check.verdict in ("passed", "worse") for check in told)
            data = holdout if name == "history" else name
            self.uses += [(now, data, (len(told), decided))] if told else []
        return checks

    def _serve(self, version: Version, now: float) -> None:
        self.serving, self.since = version, now


def fitted(rows: Rows) -> NDArray[np.float64]:
    """Coefficients [features + 1] of a logistic regression, the intercept last."""
    model = LogisticRegression().fit(*rows)
    return np.concatenate([model.coef_[0], model.intercept_])


def _held(rows: Rows) -> NDArray[np.bool_]:
    return held_back(Dataset.of(rows[0]))


def _part(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    return rows[0][chosen], rows[1][chosen]


def _joined(parts: Sequence[Rows]) -> Rows:
    if not parts:
        return np.empty((0, FEATURES)), np.empty(0, np.int64)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
