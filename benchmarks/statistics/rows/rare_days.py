"""Two years of daily data with a Black Friday each: what a calendar is worth.

Rules, budget, gate and the way back are the hub's own pure functions; rows, the model (logistic
regression) and the clock are simulated. A candidate that passes the gate serves from the next hour
on: there is no canary.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.statistics.part import Effort, Part, Row
from cloud_hub.calendar.occurrence import Occurrence, last_before, open_at, spans
from cloud_hub.data.dataset import Dataset
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.policy.schema.sections import GatePolicy, Policy, TriggerRule
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.runs.gate import Costs, Slice, failures, judge
from cloud_hub.runs.jobs import held_back
from cloud_hub.rush.decision import wins
from cloud_hub.triggers.facts import (
    Facts,
    LabelBatch,
    LabelCounts,
    StartedRun,
    TriggerState,
    VersionFacts,
)
from cloud_hub.triggers.latching import counted, evaluate

HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
BEGIN: Final = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC).timestamp()
DAYS: Final = 730
FEATURES: Final = 10
ON_A_DAY: Final = 240
"""Labelled rows of an ordinary day; on a Black Friday there are so many in four hours."""

AN_HOUR: Final = 60
DEVICES: Final = 20
HOLDOUT_DAYS: Final = 5
"""Ordinary days after which the holdout is other rows."""

TURN: Final = 0.3
"""Angle (radians) by which the concept turns in a year; every 180 degrees all labels change."""

RARE_TURN: Final = 0.9
"""Angle by which a Black Friday is off the days around it; 0.15 more a year later."""

ORDINARY: Final = """
sharing: {samples: true, per_window: 1000}
train: {entry: a:b, minimum_samples: 200}
triggers:
- {name: monthly, when: {every: 30d}}
- {name: accuracy, when: {performance: {below: 0.8, minimum: 200, lookback: 1d}}, cooldown: 1h}
"""
FRIDAY: Final = "FREQ=YEARLY;BYMONTH=11;BYDAY=FR;BYMONTHDAY=23,24,25,26,27,28,29"
CALENDAR: Final = f"""
calendar:
  days:
  - {{name: black-friday, rule: "{FRIDAY}", train_every: 1h, max_forgetting: 1.0}}
"""
ALLOWED: Final = "gate: {max_forgetting: 1.0}\n"
POLICIES: Final = {
    "nothing": "",
    "ordinary triggers": ORDINARY,
    "ordinary triggers, the gate allows forgetting": ORDINARY + ALLOWED,
    "with a calendar": ORDINARY + CALENDAR,
}

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True)
class World:
    """Rows of every step: a day, or an hour of a Black Friday and of the days around it."""

    random: np.random.Generator
    rare: tuple[Occurrence, ...]

    def angle(self, at: float) -> float:
        """Angle of the concept at a time (Unix seconds)."""
        years = (at - BEGIN) / (365 * DAY)
        rare = open_at(self.rare, at)
        return TURN * years + (RARE_TURN + 0.15 * (years > 1) if rare is not None else 0.0)

    def draw(self, at: float, count: int) -> Rows:
        """Rows [count, features] and their labels of a time."""
        X = self.random.standard_normal((count, FEATURES))
        if open_at(self.rare, at) is not None:
            X[:, 2:5] += 1.0
        angle = self.angle(at)
        margin = 4 * (X[:, 0] * np.cos(angle) + X[:, 1] * np.sin(angle))
        return X, (margin + self.random.logistic(size=count) > 0).astype(np.int64)

    def steps(self) -> list[tuple[float, float, int]]:
        """(begin, seconds, rows) of every step."""
        steps: list[tuple[float, float, int]] = []
        for number in range(DAYS):
            at = BEGIN + number * DAY
            near = any(day.begin - DAY <= at <= day.end + DAY for day in self.rare)
            if not near:
                steps.append((at, DAY, ON_A_DAY))
                continue
            count = AN_HOUR if open_at(self.rare, at) is not None else ON_A_DAY // 24
            steps += [(at + hour * HOUR, HOUR, count) for hour in range(24)]
        return steps


@dataclass
class Line:
    """A model line under one policy, and everything that it has seen."""

    policy: Policy
    world: World
    model: LogisticRegression
    holdout: Rows
    version: int = 0
    since: float = BEGIN
    before: tuple[LogisticRegression, Occurrence] | None = None
    seen: list[tuple[float, Rows]] = field(default_factory=list)
    batches: list[LabelBatch] = field(default_factory=list)
    states: dict[str, TriggerState] = field(default_factory=dict)
    runs: list[StartedRun] = field(default_factory=list)

    def score(self, rows: Rows) -> float:
        """Accuracy of what serves."""
        return float((self.model.predict(rows[0]) == rows[1]).mean())

    def report(self, at: float, seconds: float, rows: Rows) -> None:
        """Take the labels of a step, device by device."""
        self.seen.append((at, rows))
        right = (self.model.predict(rows[0]) == rows[1]).astype(np.int64)
        for device, part in enumerate(np.array_split(right, DEVICES)):
            if len(part):
                self.batches.append(
                    LabelBatch(
                        len(self.batches), at, f"d{device}", len(part), int(part.sum()),
                        at + seconds,
                    )
                )  # fmt: skip

    def act(self, now: float) -> None:
        """Do what the hub does: go back when a day is over, and judge the rules."""
        if self.before is not None and self.before[1].end <= now:
            self.go_back_or_stay()
        if not self.policy.rules:
            return
        facts = self.facts(now)
        for rule in self.policy.rules:
            state = self.states.get(rule.name, TriggerState())
            runs = counted(rule, self.runs)
            decision = evaluate(rule, facts, state, self.policy.budget, runs)
            self.states[rule.name] = decision.state
            if decision.outcome == "fired" and self.run(rule, now):
                self.runs.append(StartedRun(now, rule.when.kind))
                return

    def facts(self, now: float) -> Facts:
        """What the hub knows at a time."""
        recent = [b for b in self.batches[-2_000:] if b.start >= max(self.since, now - DAY)]
        windows: dict[float, list[LabelBatch]] = {}
        for batch in recent:
            windows.setdefault(batch.start, []).append(batch)
        labels = tuple(
            LabelCounts(
                at, sum(b.labelled for b in w), sum(b.correct for b in w), w[0].available_at
            )
            for at, w in windows.items()
        )
        days = self.policy.calendar.occurrences(now, now + DAY)
        serving = VersionFacts(str(self.version), self.since, 1_000)
        return Facts(
            now, self.since, serving, labels=labels, batches={"": {"": tuple(recent)}}, days=days
        )

    def run(self, rule: TriggerRule, now: float) -> bool:
        """Train, judge, and let what passes serve; whether a training began."""
        known = self.policy.calendar.occurrences(now - 400 * DAY, now + 1)
        today, rare = open_at(known, now), spans(known)
        since = self.since if rule.when.performance is None else max(self.since, now - DAY)
        chosen = [rows for at, rows in self.seen if at >= (today.begin if today else since)]
        if today is None:
            chosen = [
                rows for at, rows in self.seen
                if at >= since and not any(begin <= at < end for begin, end in rare)
            ]  # fmt: skip
        last = last_before(known, today) if today is not None else None
        if last is not None:
            chosen += [rows for at, rows in self.seen if at in last]
        fresh = _joined(chosen)
        if len(fresh[1]) < 200 or len(np.unique(fresh[1])) < 2:
            return False
        held = held_back(Dataset.of(fresh[0]))
        candidate = _fit((fresh[0][~held], fresh[1][~held]))
        gate = self.policy.gate
        forgets = self.policy.calendar.day(today.day) if today is not None else None
        if forgets is not None and forgets.max_forgetting is not None:
            gate = replace(gate, max_forgetting=forgets.max_forgetting)
        rows = {"fresh": (fresh[0][held], fresh[1][held]), "history": self.holdout}
        if failures(_judged(candidate, self.model, rows, gate)):
            return True
        if today is not None and self.before is None:
            self.before = (self.model, today)
        self.serve(candidate, now)
        return True

    def go_back_or_stay(self) -> None:
        """Compare with the version of before on normal rows, as the hub does."""
        assert self.before is not None
        model, day = self.before
        normal = _joined([r for at, r in self.seen if day.begin - 28 * DAY <= at < day.begin])
        held = held_back(Dataset.of(normal[0]))
        rows = {"fresh": (normal[0][held], normal[1][held]), "history": self.holdout}
        gate = replace(self.policy.gate, max_fresh_drop=0.0, max_forgetting=0.0)
        won, _ = wins(_judged(self.model, model, rows, gate))
        if not won:
            self.serve(model, day.end)
        self.before = None

    def serve(self, model: LogisticRegression, now: float) -> None:
        """Let a version serve from now on."""
        self.model, self.since, self.version = model, now, self.version + 1


def _joined(parts: Sequence[Rows]) -> Rows:
    if not parts:
        return np.empty((0, FEATURES)), np.empty(0, np.int64)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _fit(rows: Rows) -> LogisticRegression:
    return LogisticRegression().fit(*rows)


def _judged(
    candidate: LogisticRegression,
    incumbent: LogisticRegression,
    rows: dict[str, Rows],
    gate: GatePolicy,
) -> list[Any]:
    def answers(model: LogisticRegression, X: Any, y: Any) -> ReleaseAnswers:
        return ReleaseAnswers((model.predict(X) != y).astype(np.float64))

    slices = {
        name: Slice(answers(candidate, X, y), answers(incumbent, X, y), {})
        for name, (X, y) in rows.items()
        # As the hub: where all may be forgotten, the holdout is not asked.
        if len(y) and (name == "fresh" or gate.max_forgetting < 1)
    }
    return judge(slices, gate, Costs(1, 1))


@dataclass(frozen=True)
class Year:
    """One Black Friday: accuracy on it, on the day after, and what was forgotten by then."""

    on: float
    after: float
    forgot: float


def two_years(name: str, random: np.random.Generator) -> list[Year]:
    """Return both Black Fridays under a policy."""
    calendar = parse_policy("train: {entry: a:b, minimum_samples: 0}\n" + CALENDAR).calendar
    rare = calendar.occurrences(BEGIN, BEGIN + DAYS * DAY)
    world = World(random, rare)
    first = _fit(world.draw(BEGIN, 4_000))
    line = Line(parse_policy(POLICIES[name]), world, first, world.draw(BEGIN, 2_000))
    right: dict[tuple[int, str], list[tuple[float, int]]] = {}
    forgot: dict[int, float] = {}
    normal_before = 0.0
    for number, (at, seconds, count) in enumerate(world.steps()):
        # An owner's who keeps it up to date.
        if number % HOLDOUT_DAYS == 0 and seconds == DAY:
            line.holdout = world.draw(at, 2_000)
        rows = world.draw(at, count)
        for year, day in enumerate(rare):
            part = "on" if at in day else "after" if day.end <= at < day.end + DAY else ""
            if part:
                right.setdefault((year, part), []).append((line.score(rows), count))
            if at + seconds == day.begin:
                normal_before = line.score(line.holdout)
        line.report(at, seconds, rows)
        line.act(at + seconds)
        for year, day in enumerate(rare):
            if at + seconds == day.end:
                forgot[year] = normal_before - line.score(line.holdout)
    means = {key: _mean(each) for key, each in right.items()}
    return [Year(means[y, "on"], means[y, "after"], forgot[y]) for y in range(len(rare))]


def _mean(scores: Sequence[tuple[float, int]]) -> float:
    values, weights = zip(*scores, strict=True)
    return float(np.average(values, weights=weights))


def run(effort: Effort) -> list[Row]:
    """Every policy on the same worlds."""
    histories = effort.runs(20, least=3)
    found = {
        name: [two_years(name, effort.random(151, number)) for number in range(histories)]
        for name in POLICIES
    }
    rows: list[Row] = []
    for name, worlds in found.items():
        for year, title in enumerate(("first", "second")):
            each = np.array([[w[year].on, w[year].after, w[year].forgot] for w in worlds])
            on, after, forgot = each.mean(axis=0)
            text = f"on the day {on:.1%}, the day after {after:.1%}, forgotten {forgot:+.1%}"
            rows.append(Row(f"{name}: {title} Black Friday", "", text))
    return rows + _goals(found)


def _goals(found: dict[str, list[list[Year]]]) -> list[Row]:
    """Goals for the calendar beside every other policy, in each simulated history."""
    ours = found["with a calendar"]
    ordinary = found["ordinary triggers"]
    others = [worlds for name, worlds in found.items() if name != "with a calendar"]
    gains = [min(w[1].on - o[i][1].on for o in others) for i, w in enumerate(ours)]
    pairs = zip(ours, ordinary, strict=True)
    lost = [max(o[y].after - w[y].after for y in (0, 1)) for w, o in pairs]
    forgot = [max(w[y].forgot for y in (0, 1)) for w in ours]
    return [
        _least("second Black Friday: gain over the best of the others, worst history", gains, 0.05),
        _most("the day after: loss beside ordinary triggers, worst history", lost, 0.03),
        _most("forgotten of normal days when the day is over, worst history", forgot, 0.005),
    ]


def _least(measured: str, values: Sequence[float], goal: float) -> Row:
    worst, met = min(values), min(values) >= goal
    return Row(measured, f"≥ {100 * goal:g} points", f"{100 * worst:.1f}", met, not met)


def _most(measured: str, values: Sequence[float], goal: float) -> Row:
    worst, met = max(values), max(values) <= goal
    return Row(measured, f"≤ {100 * goal:g} points", f"{100 * worst:.1f}", met, not met)


ABOUT: Final = """\
Two years of daily data, 240 labelled rows a day of 20 devices, whose concept turns slowly; on each
Black Friday 60 rows an hour of another concept, much the same a year later. The model is a logistic
regression. Ordinary triggers: once in 30 days, and accuracy below 80%, through the gate with its
defaults or with forgetting allowed; the calendar adds a run each hour of the day, also on rows of
the last one, and the way back. The holdout is new every five days. No canary: what passes the gate
serves from the next step on. *Forgotten*: accuracy on normal rows before the day, less that of what
serves when it is over; negative is better than before."""

PART: Final = Part("Rare days", " ".join(ABOUT.split()), run, quick=True)
