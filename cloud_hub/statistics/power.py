"""Planning before the start: the sample that is needed, and about how long that takes.

Chances of a verdict follow from the same Brownian motion that the tests themselves stand on, look
by look, so the plan and the analysis agree.

What devices of a fleet can ever tell is said by their own recorded variance
(:func:`variance_of`): how much they differ, and how much of that their own past says.

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
from cloud_hub.statistics.random_effects import fit, own_of
from cloud_hub.statistics.samples import Contrast, Floats, Sample
from cloud_hub.statistics.sequential import TUNED_FOR, multiplier, student, tuning
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


FARTHEST: Final = 400.0
"""Standard errors beyond which a difference is not looked for."""

LONGEST: Final = 365.0
"""Days beyond which is never."""


@dataclass(frozen=True)
class FleetVariance:
    """Variance of a fleet's outcomes.

    ``outcome`` is of one outcome; ``device`` [D] of what each device's mean differs by, after what
    its own past says of it; ``daily`` [D] how many outcomes it has a day. ``slopes`` are the
    degrees of freedom that the past costs; ``before`` is the devices' variance without a past.
    """

    outcome: float
    device: Floats
    daily: Floats
    slopes: float
    before: float


def variance_of(earlier: Sample, later: Sample, days: float) -> FleetVariance:
    """Measure how much devices differ, and how much of that their own past says.

    The later half of a recent time is predicted by the earlier one; a past as long as both halves
    is then assumed.

    Args:
        earlier: outcomes of the first half by device, [D].
        later: of the second, of the same devices.
        days: that both halves took together.
    """
    n = earlier.n + later.n
    total, squares = earlier.total + later.total, earlier.squares + later.squares
    mean = total.sum() / n.sum()
    outcome = max(float(squares.sum() / n.sum() - mean**2), 0.0)
    everybody = [np.ones(len(n), dtype=bool)]
    with np.errstate(divide="ignore", invalid="ignore"):
        before = float(fit(total / n, outcome / n, everybody).between)
        past = own_of(earlier.total / earlier.n, outcome / earlier.n)
        rest = fit(later.total / later.n, outcome / later.n, everybody, past)
        # A whole past leaves less open than half of it did.
        whole = own_of(total / n, outcome / n)
    device = rest.between + rest.slope**2 * whole.unknown
    if not np.all(np.isfinite(device)) or device.mean() > before:
        return FleetVariance(outcome, np.full(len(n), before), n / days, 0.0, before)
    return FleetVariance(outcome, device, n / days, 1.0, before)


def expected(fleet: FleetVariance, control: int, candidate: int, days: float) -> Contrast:
    """Return the contrast that devices come to after some days, its estimate 0.

    Args:
        fleet: whose variance it is.
        control: devices without the candidate.
        candidate: devices with it.
        days: for which both have run.
    """
    freedom = control + candidate - 2 - fleet.slopes
    if min(control, candidate) < 1 or freedom < 1:
        return Contrast(*(np.array(v) for v in (0.0, np.inf, 0.0, np.inf, np.inf)))
    arms = 1 / control + 1 / candidate
    with np.errstate(divide="ignore"):
        # A device weighs what it says, as in the verdict; the arm is worth the sum.
        now = arms / np.mean(1 / (fleet.device + fleet.outcome / (fleet.daily * days)))
        end = arms / np.mean(1 / fleet.device)
        values = (0.0, now, 2 * fleet.outcome / now, freedom, 2 * fleet.outcome / end)
    return Contrast(*(np.array(float(value)) for value in values))


def chance_of(effect: float, contrast: Contrast, *, alpha: float, usual: float) -> float:
    """Chance that a difference is told from none until a contrast has come to its variance.

    Args:
        effect: difference of means.
        contrast: at the end; see :func:`expected`.
        alpha: two-sided error of the confidence sequence.
        usual: sample size at which it is usually tightest.
    """
    if not contrast.n > 0:
        return 0.0
    looks = planned_looks(SEQUENTIAL_LOOKS)
    limits = multiplier(np.array(looks) * contrast.n, alpha, tuning(contrast, usual))
    widened = student(limits, contrast.freedom)
    drift = min(effect / math.sqrt(float(contrast.variance)), FARTHEST)
    return crossing(looks, [float(limit) for limit in widened], drift)


def smallest_effect(contrast: Contrast, *, alpha: float, power: float, usual: float) -> float:
    """Return the smallest difference that is found with the wanted chance; infinite if none is.

    Args:
        contrast: at the end; see :func:`expected`.
        alpha: two-sided error of the confidence sequence.
        power: chance of finding it.
        usual: sample size at which the sequence is usually tightest.
    """
    if not contrast.n > 0:
        return math.inf
    error = math.sqrt(float(contrast.variance))
    low, high = 0.0, FARTHEST
    if chance_of(high * error, contrast, alpha=alpha, usual=usual) < power:
        return math.inf
    while high - low > 0.01:
        middle = (low + high) / 2
        found = chance_of(middle * error, contrast, alpha=alpha, usual=usual) >= power
        low, high = (low, middle) if found else (middle, high)
    return high * error


def days_until(
    effect: float, fleet: FleetVariance, control: int, candidate: int, *,
    alpha: float, power: float, usual: float,
) -> float | None:  # fmt: skip
    """Days until a difference is found with the wanted chance; ``None`` if it never is.

    Args:
        effect: difference of means.
        fleet: whose variance it is.
        control: devices without the candidate.
        candidate: devices with it.
        alpha: two-sided error of the confidence sequence.
        power: chance of finding it.
        usual: sample size at which the sequence is usually tightest.
    """

    def enough(days: float) -> bool:
        contrast = expected(fleet, control, candidate, days)
        return chance_of(effect, contrast, alpha=alpha, usual=usual) >= power

    low, high = 1e-4, LONGEST
    if not enough(high):
        return None
    # Geometric bisection: from seconds to a year.
    while high / low > 1.02:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


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
