"""Fairness: accuracy and answers compared between declared groups, from counts by group alone.

A group is judged only from :data:`LEAST` rows on. Intervals are valid at every look, for these
figures are looked at all the time; they count rows as independent.

Sources of the disparities: M. Hardt, E. Price, N. Srebro, "Equality of opportunity in supervised
learning", NeurIPS 2016 (differences of error rates between groups); C. Dwork et al., "Fairness
through awareness", ITCS 2012 (differences of answers: statistical parity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_hub.statistics.sequential import SampleMoments, difference_interval, mean_interval

LEAST: Final = 100
"""Rows below which a group is shown without figures."""

Counts = Mapping[str, tuple[int, int]]
"""By group: how many there are, and how many of those count."""


@dataclass(frozen=True)
class GroupRate:
    """A share of one group with its interval; ``rate`` is ``None`` of too few."""

    group: str
    n: int
    rate: float | None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Disparity:
    """The largest difference of rates between two groups, ``most`` less ``least``.

    ``low`` and ``high`` hold the difference at any look; ``alarming`` says that it is surely more
    than was declared acceptable.
    """

    groups: tuple[GroupRate, ...]
    most: str | None = None
    least: str | None = None
    difference: float = 0.0
    low: float = 0.0
    high: float = 1.0
    alarming: bool = False


def disparity(groups: Counts, *, acceptable: float, alpha: float = 0.05) -> Disparity:
    """Compare groups by their rates, such as (labelled, correct).

    The lowest and the highest rate are compared by a confidence sequence of their difference.

    Args:
        groups: (how many, how many of those count) by name.
        acceptable: largest difference of rates that raises no alarm.
        alpha: chance of a wrong alarm at any look, over all pairs of groups (Bonferroni).
    """
    rates = tuple(_rate(name, *groups[name], alpha) for name in sorted(groups))
    judged = sorted((g for g in rates if g.rate is not None), key=lambda g: g.rate or 0.0)
    if len(judged) < 2:
        return Disparity(rates)
    least, most = judged[0].group, judged[-1].group
    pairs = len(judged) * (len(judged) - 1) // 2
    low, high = difference_interval(
        _moments(*groups[least]), _moments(*groups[most]), alpha / pairs
    )
    difference = (judged[-1].rate or 0.0) - (judged[0].rate or 0.0)
    return Disparity(
        rates, most, least, difference, max(0.0, low), min(1.0, high), low > acceptable
    )


def selection(
    answers: Mapping[str, Mapping[str, int]],
    classes: Sequence[str],
    *,
    acceptable: float,
    alpha: float = 0.05,
) -> tuple[str, Disparity] | None:
    """Find the answer whose share differs most between groups, as far as that is sure.

    Of two classes it is the second one: the other's shares differ as much. ``None`` without
    classes.

    Args:
        answers: predictions by group and answer.
        classes: all answers that there are.
        acceptable: largest difference of shares that raises no alarm.
        alpha: chance of a wrong alarm at any look, over all answers (Bonferroni).
    """
    looked = classes[1:] if len(classes) == 2 else classes
    totals = {group: sum(counts.values()) for group, counts in answers.items()}
    disparities = {}
    for answer in looked:
        rates = {g: (n, answers[g].get(answer, 0)) for g, n in totals.items()}
        disparities[answer] = disparity(rates, acceptable=acceptable, alpha=alpha / len(looked))
    most = max(
        disparities,
        key=lambda answer: (disparities[answer].low, disparities[answer].difference),
        default="",
    )
    return (most, disparities[most]) if disparities else None


def _rate(name: str, n: int, counted: int, alpha: float) -> GroupRate:
    if n < LEAST:
        return GroupRate(name, n, None)
    low, high = mean_interval(_moments(n, counted), alpha)
    return GroupRate(name, n, counted / n, max(0.0, low), min(1.0, high))


def _moments(n: int, counted: int) -> SampleMoments:
    return SampleMoments.of_successes(counted, n)
