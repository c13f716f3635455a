"""Two years of daily data with a Black Friday each, and the rows that a model line sees of them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.calendar.occurrence import Occurrence, open_at

HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
BEGIN: Final = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC).timestamp()
DAYS: Final = 730
FEATURES: Final = 10

AN_HOUR: Final = 60
"""Labelled rows of an hour of a Black Friday."""

ON_A_DAY: Final = 240
"""Labelled rows of an ordinary day, a sixth of those of a Black Friday."""

TURN: Final = 0.3
"""Angle (radians) by which the concept turns in a year; every 180 degrees all labels change."""

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True)
class Rush:
    """What happens on the two days that the calendar has.

    ``turns`` are the angles (radians) by which the concept is off the days around each, 0 for a day
    like any other; ``stays`` says that the second is no rush, but how things are from then on.
    """

    title: str
    turns: tuple[float, float]
    stays: bool = False


@dataclass(frozen=True)
class Step:
    """A day, or an hour of a Black Friday and of the days around it; times in Unix seconds."""

    begin: float
    seconds: float
    rows: int

    @property
    def end(self) -> float:
        """The moment after its last."""
        return self.begin + self.seconds


@dataclass(frozen=True)
class World:
    """Where rows come from.

    Attributes:
        rush: what happens on the days.
        days: both Black Fridays.
        random: of the rows that a line sees.
        tests: of the rows that nobody sees, by which a version is scored.
    """

    rush: Rush
    days: tuple[Occurrence, ...]
    random: np.random.Generator
    tests: np.random.Generator

    def steps(self) -> list[Step]:
        """Return all steps, in order."""
        steps: list[Step] = []
        for at in (BEGIN + number * DAY for number in range(DAYS)):
            if not any(day.begin - DAY <= at <= day.end + DAY for day in self.days):
                steps.append(Step(at, DAY, ON_A_DAY))
                continue
            count = AN_HOUR if self._off(at) else ON_A_DAY // 24
            steps += [Step(at + hour * HOUR, HOUR, count) for hour in range(24)]
        return steps

    def draw(self, at: float, count: int) -> Rows:
        """Rows [count, features] and labels [count] of a time, for a line to see."""
        return self._rows(self.random, at, count, self._off(at))

    def normal(self, at: float, count: int) -> Rows:
        """Rows as they would be at a time, were there no Black Friday; nobody sees them."""
        return self._rows(self.tests, at, count, 0.0)

    def unseen(self, at: float, count: int) -> Rows:
        """Rows of a time that nobody sees."""
        return self._rows(self.tests, at, count, self._off(at))

    def best(self, at: float, rows: Rows) -> float:
        """Accuracy on rows of a time of who knows the concept."""
        return float(((self._margin(at, rows[0], self._off(at)) > 0) == rows[1]).mean())

    def _off(self, at: float) -> float:
        """Angle by which the concept is off its slow turn."""
        today = open_at(self.days, at)
        if today is not None:
            return self.rush.turns[self.days.index(today)]
        return self.rush.turns[-1] if self.rush.stays and at >= self.days[-1].end else 0.0

    def _margin(self, at: float, X: NDArray[np.float64], off: float) -> NDArray[np.float64]:
        angle = TURN * (at - BEGIN) / (365 * DAY) + off
        margin: NDArray[np.float64] = 4 * (X[:, 0] * np.cos(angle) + X[:, 1] * np.sin(angle))
        return margin

    def _rows(self, random: np.random.Generator, at: float, count: int, off: float) -> Rows:
        X = random.standard_normal((count, FEATURES))
        if off:
            X[:, 2:5] += 1.0  # inputs are unlike other days', too
        margin = self._margin(at, X, off)
        return X, (margin + random.logistic(size=count) > 0).astype(np.int64)
