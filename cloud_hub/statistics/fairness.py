"""Is the model as good for one group as for another? Counts by declared group alone.

A group is judged only from :data:`LEAST` labels on. Intervals are valid at every look, for these
figures are looked at all the time.

Source of the disparities: M. Hardt, E. Price, N. Srebro, "Equality of opportunity in supervised
learning", NeurIPS 2016 (differences of error rates between groups).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloud_hub.statistics.sequential import Moments, difference_interval, mean_interval

LEAST: Final = 100
"""Labels below which a group is shown without figures."""


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy of one group with its interval; ``accuracy`` is ``None`` with too few labels."""

    group: str
    labelled: int
    accuracy: float | None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Disparity:
    """The largest difference of accuracy between two groups, ``best`` less ``worst``.

    ``low`` and ``high`` hold the difference at any look; ``alarming`` says that it is surely more
    than was declared acceptable.
    """

    groups: tuple[GroupAccuracy, ...]
    best: str | None = None
    worst: str | None = None
    difference: float = 0.0
    low: float = 0.0
    high: float = 1.0
    alarming: bool = False


def disparity(
    groups: Mapping[str, tuple[int, int]], *, acceptable: float, alpha: float = 0.05
) -> Disparity:
    """Compare groups by their (labelled, correct).

    Args:
        groups: by name.
        acceptable: largest difference of accuracy that raises no alarm.
        alpha: chance of a wrong alarm at any look, over all pairs of groups (Bonferroni).
    """
    told = tuple(_accuracy(name, *groups[name], alpha) for name in sorted(groups))
    known = sorted((g for g in told if g.accuracy is not None), key=lambda g: g.accuracy or 0.0)
    if len(known) < 2:
        return Disparity(told)
    worst, best = known[0].group, known[-1].group
    pairs = len(known) * (len(known) - 1) // 2
    low, high = difference_interval(
        _moments(*groups[worst]), _moments(*groups[best]), alpha / pairs
    )
    difference = (known[-1].accuracy or 0.0) - (known[0].accuracy or 0.0)
    return Disparity(told, best, worst, difference, max(0.0, low), min(1.0, high), low > acceptable)


def _accuracy(name: str, labelled: int, correct: int, alpha: float) -> GroupAccuracy:
    if labelled < LEAST:
        return GroupAccuracy(name, labelled, None)
    low, high = mean_interval(_moments(labelled, correct), alpha)
    return GroupAccuracy(name, labelled, correct / labelled, max(0.0, low), min(1.0, high))


def _moments(labelled: int, correct: int) -> Moments:
    return Moments.of_successes(correct, labelled)
