"""Planning before the start: the sample that is needed, and about how long that takes.

Chances of a verdict follow from the same Brownian motion that the tests themselves stand on, look
by look, so the plan and the analysis agree.

Sources:
    C. Jennison, B. Turnbull, Group Sequential Methods, 1999 (power of sequential designs).
    L. Kish, Survey Sampling, 1965, section 5.4 (the design effect of clusters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from cloud_hub.statistics.group_sequential import LOOKS, bounds, crossing, planned_looks
from cloud_hub.statistics.sequential import TUNED_FOR, multiplier
from cloud_hub.statistics.shares import PAIRS_TUNED_FOR

Method = Literal["sequential", "group-sequential"]
SEQUENTIAL_LOOKS: Final = 50
MOST: Final = 1e9


@dataclass(frozen=True)
class Needs:
    """Sample that is needed for a verdict with chance ``power``.

    ``n`` outcomes an arm as they come from devices, ``independent`` of them after the design
    effect, from at least ``devices`` devices an arm.
    """

    method: Method
    n: int
    independent: int
    devices: int
    power: float
    design_effect: float


def design_effect(correlation: float, per_device: float) -> float:
    """Requests of devices that stand for one independent request, ``1 + (m - 1) * correlation``.

    Args:
        correlation: of two requests of one device (intraclass), 0 to 1.
        per_device: requests of one device on average, ``m``.
    """
    return 1 + max(0.0, per_device - 1) * correlation


def chance_of_verdict(
    effect: float, spread: float, n: float, *, method: Method, alpha: float, tuned_for: float
) -> float:
    """Chance that a difference of ``effect`` is found until ``n`` independent outcomes an arm.

    Args:
        effect: of means.
        spread: the variances of one outcome on both arms, added.
        n: at the end.
        method: looked at all the time, or at :data:`LOOKS` planned looks.
        alpha: two-sided.
        tuned_for: where confidence sequences are tightest.
    """
    drift = effect * math.sqrt(n / spread)
    if method == "group-sequential":
        looks = planned_looks(LOOKS)
        return crossing(looks, bounds(looks, alpha), drift)
    looks = planned_looks(SEQUENTIAL_LOOKS)
    limits = multiplier(np.array(looks) * n, alpha, tuned_for)
    return crossing(looks, [float(limit) for limit in limits], drift)


def needs(
    effect: float,
    spread: float,
    *,
    method: Method = "sequential",
    alpha: float = 0.05,
    power: float = 0.8,
    tuned_for: float | None = None,
    correlation: float = 0.0,
    per_device: float = 1.0,
) -> Needs:
    """Find the smallest sample with which a difference is found with the wanted chance.

    By bisection over :func:`chance_of_verdict`. The answer is :data:`MOST` where devices are too
    alike in themselves for any number of requests.

    Args:
        effect: difference of means that is to be found.
        spread: the variances of one outcome on both arms, added.
        method: looked at all the time, or at planned looks.
        alpha: two-sided error.
        power: chance of finding it.
        tuned_for: sample size at which confidence sequences are tightest; the one found, if left
            out.
        correlation: of two requests of one device (intraclass), 0 to 1.
        per_device: requests of one device on average.
    """
    low, high = 1.0, MOST
    # Geometric bisection: sizes span nine orders of magnitude.
    while high / low > 1.005:
        middle = math.sqrt(low * high)
        tuned = tuned_for or max(middle, TUNED_FOR / 50)
        chance = chance_of_verdict(
            effect, spread, middle, method=method, alpha=alpha, tuned_for=tuned
        )
        low, high = (low, middle) if chance >= power else (middle, high)
    inflated = high * design_effect(correlation, per_device)
    devices = math.ceil(inflated / max(per_device, 1.0))
    return Needs(
        method, math.ceil(inflated), math.ceil(high), devices, power,
        design_effect(correlation, per_device),
    )  # fmt: skip


def pairs_needed(effect: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Pairs that differ (sessions won or lost) until the sign test finds a share above half.

    Args:
        effect: by how much the share of pairs won exceeds 0.5.
        alpha: two-sided error.
        power: chance of finding it.
    """
    sample_size = needs(effect, 0.25, alpha=alpha, power=power, tuned_for=PAIRS_TUNED_FOR)
    return sample_size.independent
