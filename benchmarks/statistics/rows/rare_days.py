"""Two years of daily data with a Black Friday each: what a calendar is worth, and what it costs.

The worlds are not those in which a calendar must win: there are also Black Fridays that do not
come, one unlike the last, and one that is no rush but how things are from then on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import t

from benchmarks.statistics.part import REFUTING, Effort, Part, Row
from benchmarks.statistics.rush_history import BEGIN, DAY, DAYS, Rush, Step, World
from benchmarks.statistics.rush_line import Line, Version, fitted
from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.policy.schema.parse import parse_policy

HOLDOUT_DAYS: Final = 5
"""Ordinary days after which the owner has another holdout, of 2,000 rows."""

TESTED: Final = 1_000
"""Rows, which no version has seen, by which every step is scored."""

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
CRON: Final = """\
- {name: november, when: {cron: "0 * 20-30 11 *"}}
budget: {runs_per_week: 168}
"""
OURS: Final = "with a calendar"
NOTHING: Final = "nothing"
TRIGGERS: Final = "ordinary triggers"
POLICIES: Final = {
    NOTHING: "",
    TRIGGERS: ORDINARY,
    f"{TRIGGERS}, the gate allows forgetting": ORDINARY + ALLOWED,
    f"{TRIGGERS} and each hour of 20 to 30 November, likewise": ORDINARY + CRON + ALLOWED,
    OURS: ORDINARY + CALENDAR,
}

ALIKE: Final = Rush("alike", (0.9, 1.05))
SMALL: Final = Rush("small, alike", (0.4, 0.45))
LARGE: Final = Rush("large, alike", (1.5, 1.6))
UNLIKE: Final = Rush("the second unlike the first", (0.9, -0.9))
NEITHER: Final = Rush("neither comes", (0.0, 0.0))
STAYS: Final = Rush("the second stays", (0.9, 0.9), stays=True)
RUSHES: Final = (ALIKE, UNLIKE, NEITHER, STAYS, SMALL, LARGE)


@dataclass(frozen=True)
class Year:
    """One Black Friday under a policy.

    Attributes:
        on: accuracy on it.
        best: accuracy on it of who knows the concept.
        after: accuracy on the day after.
        week: accuracy on the seven days after.
        forgot: accuracy on normal rows of what served when it began, less that of what serves when
            it is over.
    """

    on: float
    best: float
    after: float
    week: float
    forgot: float


def history(rush: Rush, policy: str, effort: Effort, number: int) -> list[Year]:
    """Return both Black Fridays of a simulated history.

    Args:
        rush: what happens on them.
        policy: of the line, as YAML.
        effort: has the seed.
        number: of the history; the same rows for each policy.
    """
    days = parse_policy(POLICIES[OURS]).calendar.occurrences(BEGIN, BEGIN + DAYS * DAY)
    key = (151, RUSHES.index(rush), number)
    world = World(rush, days, effort.random(*key, 0), effort.random(*key, 1))
    first = Version(1, BEGIN, fitted(world.draw(BEGIN, 4_000)))
    line = Line(parse_policy(policy), first, world.draw(BEGIN, 2_000))
    scores = [DayScores(day, world) for day in days]
    for place, step in enumerate(world.steps()):
        if place % HOLDOUT_DAYS == 0 and step.seconds == DAY:
            line.holdout, line.refreshed = world.draw(step.begin, 2_000), place
        for each in scores:
            each.look(step, line.serving)
        line.report(step, world.draw(step.begin, step.rows))
        line.act(step.end)
        for each in scores:
            each.look_at_end(step, line.serving)
    return [each.year() for each in scores]


class DayScores:
    """Scores what serves on a day, and in the week after."""

    def __init__(self, day: Occurrence, world: World) -> None:
        self._day = day
        self._world = world
        self._before: Version | None = None
        self._forgot = math.nan
        self._scores: list[tuple[Step, float, float]] = []

    def look(self, step: Step, serving: Version) -> None:
        """Score a version that serves in a step."""
        if step.begin == self._day.begin:
            self._before = serving
        if self._day.begin <= step.begin < self._day.end + 7 * DAY:
            rows = self._world.unseen(step.begin, TESTED)
            best = self._world.best(step.begin, rows)
            self._scores.append((step, serving.score(rows), best))

    def look_at_end(self, step: Step, serving: Version) -> None:
        """Note what was forgotten when the day was over."""
        if step.end == self._day.end and self._before is not None:
            rows = self._world.normal(step.end, 10 * TESTED)
            self._forgot = self._before.score(rows) - serving.score(rows)

    def year(self) -> Year:
        """Return all scores."""
        end = self._day.end
        on = self._mean(lambda step: step.begin < end, 1)
        best = self._mean(lambda step: step.begin < end, 2)
        after = self._mean(lambda step: end <= step.begin < end + DAY, 1)
        week = self._mean(lambda step: end <= step.begin, 1)
        return Year(on, best, after, week, self._forgot)

    def _mean(self, chosen: Callable[[Step], bool], column: int) -> float:
        """By time: an hour of the day after weighs as much as any other."""
        part = [each for each in self._scores if chosen(each[0])]
        values = [float(each[column]) for each in part]  # type: ignore[arg-type]
        return float(np.average(values, weights=[each[0].seconds for each in part]))


Found = dict[str, list[list[Year]]]
"""Histories by policy, each with both Black Fridays."""


def run(effort: Effort) -> list[Row]:
    """Every policy in every world."""
    rows: list[Row] = []
    for rush in effort.cells(RUSHES, quick=1):
        histories = effort.runs(20 if rush is ALIKE else 10, least=1)
        found: Found = {
            name: [history(rush, text, effort, number) for number in range(histories)]
            for name, text in POLICIES.items()
        }
        rows += [*_figures(rush, found), *_goals(rush, found)]
    return rows


def _figures(rush: Rush, found: Found) -> list[Row]:
    """Both days of every policy, means of all histories."""
    rows = []
    for name, histories in found.items():
        means = {
            figure: " and ".join(
                f"{np.mean([getattr(h[year], figure) for h in histories]):.1%}" for year in (0, 1)
            )
            for figure in ("on", "after", "week", "forgot")
        }
        text = "on the days {on}, the day after {after}, the week {week}, forgot {forgot}"
        rows.append(Row(f"{rush.title}: {name}", "", text.format(**means)))
    return rows


def _goals(rush: Rush, found: Found) -> list[Row]:
    """The goals of the calendar in one world."""
    title = f"{rush.title}: {OURS}"
    lost = [
        _most(f"{title}, the day after, points below {TRIGGERS}", _below(found, "after"), 1.0),
        _most(f"{title}, forgotten when the day is over, points", _forgotten(found), 0.5),
    ]
    if rush is STAYS:  # at most a day late: a seventh of what the old version loses in the week
        late, behind = _below(found, "week", years=(1,)), _behind(found, "week")
        return [
            _most(f"{title}, the week after, points below {TRIGGERS}", late, 4.0),
            _most(f"{title}, the week after, points below the best", behind, 4.0, known=True),
        ]
    if rush in (UNLIKE, NEITHER):
        on = _below(found, "on", years=(1,) if rush is UNLIKE else (0, 1))
        second = f"{title}, on the second day, points below the best"
        return [
            _most(f"{title}, on the day, points below {TRIGGERS}", on, 1.0),
            _most(second, _behind(found, "on"), 1.0, known=rush is UNLIKE),
            *lost,
        ]
    gains = [
        _least(f"{title}, {name} day, won back of what {NOTHING} loses, percent", won, goal)
        for name, won, goal in zip(
            ("first", "second"), (_won(found, 0), _won(found, 1)), (50.0, 75.0), strict=True
        )
    ]
    above = [-points for points in _behind(found, "on")]
    best = _least(f"{title}, second day, points above the best of the others", above, 0.0)
    return [*(gains if rush is not SMALL else []), best, *lost]


def _won(found: Found, year: int) -> list[float]:
    """Percent of what doing nothing loses, beside who knows the concept, that ours does not."""
    pairs = [(a[year], b[year]) for a, b in zip(found[OURS], found[NOTHING], strict=True)]
    return [100 * (ours.on - none.on) / (none.best - none.on) for ours, none in pairs]


def _behind(found: Found, figure: str) -> list[float]:
    """Points below the other policy that is best in the second year, on the mean of histories."""
    others = [histories for name, histories in found.items() if name != OURS]
    best = max(others, key=lambda each: float(np.mean([getattr(h[1], figure) for h in each])))
    pairs = zip(found[OURS], best, strict=True)
    return [100 * (getattr(b[1], figure) - getattr(a[1], figure)) for a, b in pairs]


def _below(found: Found, figure: str, years: Sequence[int] = (0, 1)) -> list[float]:
    """Points below ordinary triggers in each history, the mean of some years."""
    return [
        100 * float(np.mean([getattr(b[y], figure) - getattr(a[y], figure) for y in years]))
        for a, b in zip(found[OURS], found[TRIGGERS], strict=True)
    ]


def _forgotten(found: Found) -> list[float]:
    return [100 * float(np.mean([year.forgot for year in h])) for h in found[OURS]]


def _least(measured: str, values: Sequence[float], goal: float) -> Row:
    mean, half, slack = _interval(values)
    refuted = mean + slack < goal
    return Row(measured, f"≥ {goal:g}", _said(values, mean, half), mean >= goal, refuted)


def _most(measured: str, values: Sequence[float], goal: float, *, known: bool = False) -> Row:
    """``known``: that it is missed is known; the table says so, and no campaign fails by it."""
    mean, half, slack = _interval(values)
    refuted = mean - slack > goal and not known
    return Row(measured, f"≤ {goal:g}", _said(values, mean, half), mean <= goal, refuted)


def _said(values: Sequence[float], mean: float, half: float) -> str:
    return f"{mean:.1f} ± {half:.1f} (worst {min(values):.1f}, {max(values):.1f}; {len(values)})"


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, half of its 95% interval, and the slack of the test that refutes a goal (Student)."""
    if len(values) < 2:
        return values[0], math.inf, math.inf
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half, slack = (float(t.ppf(1 - level, len(values) - 1)) for level in (0.025, REFUTING))
    return float(np.mean(values)), half * error, slack * error


ABOUT: Final = """\
Two years of daily data, 240 labelled rows a day of 20 devices, whose concept turns slowly; on each
Black Friday 60 rows an hour of another concept. The worlds differ in what the two days are: alike,
small, large, the second unlike the first, days on which nothing happens, and a second one after
which everything stays as it was on it. The model is a logistic regression. Ordinary triggers: once
in 30 days, and accuracy below 80%; beside them some whose gate allows forgetting, and a cron line
for late November. The calendar adds a run each hour of the day to ordinary triggers, on rows of the
day and of the last one, and the way back. Rules, budget, gate, its wear and the comparison when the
day is over are the hub's own code; a version serves two hours after the gate, and the holdout is
new every five days. Accuracies are those of what serves on rows that nobody saw, by time.
*Forgot*: accuracy on normal rows of what served when the day began, less that of what serves when
it is over. Intervals are of the mean over histories (95%, Student), with their extremes."""

PART: Final = Part("Rare days", " ".join(ABOUT.split()), run)
