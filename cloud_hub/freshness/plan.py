"""Plan of the trainings: the windows that models train on, and the rows that each answers. Pure.

The newest stretch is what every schedule is judged on; everything before is history. A schedule
trains at its cuts, on the window of fixed length that ended at the cut, less the delay of labels,
and the model serves until the next cut: as a deployed one would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from cloud_hub.text.durations import compact_duration, format_duration

NEVER: Final = float("inf")
"""The schedule that trains once, before the stretch begins."""

LONGEST_SHARE: Final = 0.5
"""Of the history, at most so much is kept to judge on."""

MOST_TRAININGS: Final = 10_000
"""Trainings of one schedule: what a person may wait for, not what fills the memory."""

AGES: Final = 8
"""Points of the curve of ages."""


@dataclass(frozen=True)
class RowWindow:
    """Rows from ``begin`` to before ``end``, Unix seconds."""

    begin: float
    end: float

    def of(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mask of the rows in the window, [N]."""
        return (times >= self.begin) & (times < self.end)


@dataclass(frozen=True)
class PlannedTraining:
    """A model is trained on one window and judged on another."""

    on: RowWindow
    judged: RowWindow


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that is trained: for each schedule its trainings, and the curve of ages.

    ``ages`` are (seconds between the training window's end and the recent stretch, training).
    """

    stretch: RowWindow
    block: float
    schedules: dict[float, tuple[PlannedTraining, ...]]
    ages: tuple[tuple[float, PlannedTraining], ...]

    @property
    def windows(self) -> set[RowWindow]:
        """Every window that is trained on, once each."""
        several = (*self.schedules.values(), tuple(training for _, training in self.ages))
        return {training.on for trainings in several for training in trainings}


def plan(
    times: NDArray[np.float64], every: Sequence[float], *, delay: float = 0.0, blocks: int = 30
) -> TrainingPlan:
    """Plan the trainings.

    Args:
        times: of the rows, Unix seconds, ascending.
        every: seconds between two trainings, for each schedule.
        delay: seconds until a label is known.
        blocks: into how many parts the stretch is cut for intervals, at least.

    Raises:
        Invalid: no schedule, a history too short for the longest, or one that trains too often.
    """
    schedules = sorted({float(seconds) for seconds in every}, reverse=True)
    if not schedules or schedules[-1] <= 0:
        raise Invalid("every: expected at least one schedule, of more than 0 seconds")
    if len(times) == 0:
        raise Invalid("rows: expected some, there are none")
    # The next float up: windows end before their end, and the last row must be inside.
    first, last = float(times[0]), float(np.nextafter(times[-1], np.inf))
    # Two trainings of the rarest schedule, so that it is not judged on one lucky model.
    length = min(2 * schedules[0], LONGEST_SHARE * (last - first))
    if length < schedules[0]:
        raise Invalid(
            f"rows: expected at least {compact_duration(round(2 * schedules[0]))} of history for "
            f"a schedule of {compact_duration(schedules[0])}, got {format_duration(last - first)}"
        )
    stretch = RowWindow(last - length, last)
    count = length / schedules[-1]
    if count > MOST_TRAININGS:
        raise Invalid(
            f"every: expected at most {MOST_TRAININGS:,} trainings of a schedule, but every "
            f"{compact_duration(schedules[-1])} takes {count:,.0f} on this history"
        )
    size = stretch.begin - first - delay
    if size <= 0:
        raise Invalid(
            f"delay: labels come after {compact_duration(delay)}; nothing is left to train on"
        )
    trainings: dict[float, tuple[PlannedTraining, ...]] = {}
    trainings[NEVER] = (_training(stretch.begin, last, size, delay),)
    for seconds in schedules:
        trainings[seconds] = _schedule(stretch, seconds, size, delay)
    return TrainingPlan(
        stretch,
        min(schedules[-1], length / blocks),
        trainings,
        _ages(first, last, schedules, delay),
    )


def _schedule(
    stretch: RowWindow, seconds: float, size: float, delay: float
) -> tuple[PlannedTraining, ...]:
    # The small number keeps a schedule that fits exactly from a training on nothing.
    count = int(np.ceil((stretch.end - stretch.begin) / seconds - 1e-9))
    cuts = [stretch.begin + i * seconds for i in range(count)]
    ends = [*cuts[1:], stretch.end]
    return tuple(_training(cut, end, size, delay) for cut, end in zip(cuts, ends, strict=True))


def _training(cut: float, end: float, size: float, delay: float) -> PlannedTraining:
    return PlannedTraining(RowWindow(cut - delay - size, cut - delay), RowWindow(cut, end))


def _ages(
    first: float, last: float, schedules: Sequence[float], delay: float
) -> tuple[tuple[float, PlannedTraining], ...]:
    """Windows of one length that end earlier and earlier, judged on one recent stretch."""
    # One stretch for all ages: only the training window moves.
    recent = RowWindow(last - min(schedules[len(schedules) // 2], (last - first) / 5), last)
    room = recent.begin - delay - first
    oldest = min(2 * schedules[0], room / 2)
    steps = np.linspace(0.0, oldest, AGES)
    size = room - oldest
    return tuple(
        (float(age), PlannedTraining(_ending(recent.begin - delay - age, size), recent))
        for age in steps
    )


def _ending(end: float, size: float) -> RowWindow:
    return RowWindow(end - size, end)
