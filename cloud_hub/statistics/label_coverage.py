"""Labels that are missing: by when they come, and what those that never came could hide. Pure.

Whether an answer gets a label may depend on whether it was right: people correct what is wrong, or
give up on what keeps being wrong. Then accuracy among the labelled is not accuracy, and which arm
looks better is a matter of who labels. Two bounds say how far that can go:

- *Nothing assumed*: every answer without a label was right, or wrong (:func:`worst_case`; Manski).
- *One assumption*, that the candidate changes labelling in one direction only (it makes labels
  rarer, or more frequent, not both at once for different answers): then what it lacks against the
  control, or has beyond it, is the difference of the labelled shares and no more. The worst is that
  all it lacks were wrong, or that all it has beyond were right (:func:`hidden`; Lee).

The second fails where the candidate makes labels of wrong answers rarer *and* those of right ones
more frequent by as much: the shares are alike then, and only the first bound holds.

If right answers are labelled alike on both arms, and wrong ones ever so rarely, the second bound
needs no further assumption: with ``s`` the labelled share, ``a`` the accuracy among the labelled,
``a * s`` is proportional to the true accuracy, and ``a * s / (s of the control)`` is what it takes.

Sources:
    C. Manski, "Nonparametric Bounds on Treatment Effects", American Economic Review 80(2), 1990.
    J. Horowitz, C. Manski, "Nonparametric Analysis of Randomized Experiments with Missing Covariate
    and Outcome Data", JASA 95(449), 2000.
    D. Lee, "Training, Wages, and Sample Selection: Estimating Sharp Bounds on Treatment Effects",
    Review of Economic Studies 76(3), 2009.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.samples import Floats

HOUR: Final = 3_600
"""Seconds. Windows are told apart by the hour in which they ended."""

YOUNGEST: Final = 2_700
"""Seconds. Labels that came sooner after their window are of the first bin of ages."""

AGES: Final = 11
"""Bins of ages, each up to twice the one before: 45 minutes, 1.5 hours, 3, 6, 12, a day, 2, 4, 8,
16, and more."""

COMPLETE: Final = 0.99
"""Where so many of the answers have a label, nothing is waited for."""

LATE: Final = 0.01
"""Share of the labels that may come after the settling time: at worst as much accuracy."""

UNKNOWN: Final = 86_400.0
"""Seconds that windows take to settle where nobody says so and nothing is recorded yet."""

ENOUGH: Final = 100
"""Labels of old windows from which it can be said what share came late."""


@dataclass(frozen=True)
class WindowLabels:
    """Answers and labels of windows, [N]: those of a device that ended in one hour are one row.

    ``ended`` is the end of that hour (Unix seconds); ``labelled`` are by age, [N, :data:`AGES`];
    ``correct`` the right ones of all ages.
    """

    ended: Floats
    answers: Floats
    labelled: Floats
    correct: Floats

    def only(self, chosen: NDArray[np.bool_]) -> WindowLabels:
        """Return some of the rows; ``chosen`` is [N]."""
        return WindowLabels(
            self.ended[chosen], self.answers[chosen], self.labelled[chosen], self.correct[chosen]
        )


def age_bin(seconds: float) -> int:
    """Return the bin of a label's age; a clock that is ahead makes it 0.

    Args:
        seconds: from the end of its window until the hub had it.
    """
    age = seconds / YOUNGEST
    return 0 if age < 1 else int(min(1 + math.log2(age), AGES - 1))


def within(windows: WindowLabels, seconds: float) -> Floats:
    """Return how many labels came within ``seconds``, which is rounded down to whole bins, [N].

    Args:
        windows: of any device and arm.
        seconds: of the longest age that counts.
    """
    return cast(Floats, np.sum(windows.labelled[:, : age_bin(seconds)], axis=1))


def complete(windows: WindowLabels) -> bool:
    """Return whether all but one in a hundred of the answers have a label already."""
    answers = float(windows.answers.sum())
    return answers > 0 and float(windows.labelled.sum()) >= COMPLETE * answers


def settling_time(windows: WindowLabels, stated: float | None, now: float) -> float:
    """Return how long after its end a window is settled: longer than stated if labels still come.

    Without a statement it is the age by which all but a share :data:`LATE` of the recorded labels
    came, of windows older than :data:`UNKNOWN`; that itself until there are some. Then it is
    doubled until no more than that share of the labels of windows twice as old came later. What
    comes later still is not known: labels that trickle in more slowly do not lengthen it.

    Args:
        windows: of all arms.
        stated: seconds, if a person declared them.
        now: Unix seconds.
    """
    seconds = _recorded(windows, now) if stated is None else stated
    for _ in range(AGES):
        least = max(seconds, YOUNGEST)
        labels, late = _late(windows, least, now - 2 * least)
        if labels < ENOUGH or late <= LATE * labels:
            break
        seconds = 2 * least
    return seconds


def _recorded(windows: WindowLabels, now: float) -> float:
    for i in range(AGES - 1):
        seconds = YOUNGEST * 2.0**i
        labels, late = _late(windows, seconds, now - UNKNOWN)
        if labels < ENOUGH or seconds >= UNKNOWN:
            break
        if late <= LATE * labels:
            return seconds
    return UNKNOWN


def _late(windows: WindowLabels, seconds: float, until: float) -> tuple[float, float]:
    """Labels of the windows that ended by ``until``, and those that came after ``seconds``."""
    labelled = (windows.ended <= until).astype(np.float64) @ windows.labelled
    # Rounded up: a label of the bin in which the time ends is not late.
    return float(labelled.sum()), float(labelled[1 + age_bin(0.999 * seconds) :].sum())


def early_age(windows: WindowLabels, settles: float) -> float:
    """Return the age, below the settling time, by which about half of the labels have come.

    Args:
        windows: settled ones, of all arms.
        settles: seconds.

    Returns:
        Seconds; 0 if the settling time is too short to tell early labels from others.
    """
    total = float(windows.labelled.sum())
    ages = [age for i in range(AGES - 1) if (age := YOUNGEST * 2.0**i) < settles]
    for age in ages:
        if float(within(windows, age).sum()) >= total / 2:
            return age
    return ages[-1] if ages else 0.0


def worst_case(correct: float, labelled: float, answers: float) -> tuple[float, float]:
    """Return the accuracy of all answers if every one without a label was wrong, or right.

    Args:
        correct: of the labelled answers.
        labelled: of the answers.
        answers: all of them.
    """
    if answers <= 0:
        return 0.0, 1.0
    # A label can be known before the report that counts its answer has come.
    missing = max(answers - labelled, 0.0)
    whole = labelled + missing
    return correct / whole, (correct + missing) / whole


@dataclass(frozen=True)
class Hidden:
    """Points of accuracy that unequal labelling could hide: the candidate's worse, or better."""

    loss: float
    gain: float


def hidden(low: float, high: float, share: float, accuracy: float) -> Hidden:
    """Return what the difference of two labelled shares could hide at worst.

    Let ``u = -low / (share - low)`` be the part of the labels that the candidate would have and
    lacks, ``v = high / share`` the part that it has beyond the control's. It is worse than it looks
    by ``accuracy * u`` if all that it lacks were wrong, and by ``v (1 - accuracy) / (1 - v)`` if
    all that it has beyond were right; better by the same with right and wrong exchanged.

    Args:
        low: lower end of the candidate's labelled share minus the control's, -1 to 1.
        high: upper end.
        share: labelled share of the candidate's answers.
        accuracy: of the candidate among its labels.
    """
    lacks, beyond = max(-low, 0.0), max(high, 0.0)
    u = lacks / (share + lacks) if lacks else 0.0
    v = min(beyond / share, 1.0) if share > 0 else 1.0
    return Hidden(
        loss=max(accuracy * u, accuracy - _trimmed(accuracy, v)),
        gain=max((1 - accuracy) * u, (1 - accuracy) - _trimmed(1 - accuracy, v)),
    )


def _trimmed(share: float, part: float) -> float:
    """The share after a part of all, every one of them counted in it, is taken away."""
    return max(share - part, 0.0) / (1 - part) if part < 1 else 0.0
