"""Estimated time to a verdict, if all goes on as it did. Pure.

Where the interval ends later follows from how confidence sequences narrow with what comes in.
Nothing is decided on this; it is shown to people who wait.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloud_hub.statistics.sequential import multiplier
from cloud_hub.statistics.shares import PAIRS_TUNED_FOR
from cloud_hub.text.durations import format_duration

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.judgement import Judgement
    from cloud_hub.experiments.verdict.spec import ExperimentSpec

MOST: Final = 1e6
"""Multiples of the present data: beyond, no time is shown."""


def until(have: float, need: float, soaked: float) -> str:
    """Time until a count is reached, for people; empty where nothing can be said.

    Args:
        have: count so far.
        need: count that is waited for.
        soaked: seconds in which the first ``have`` came.
    """
    return _shown(soaked * (need / have - 1)) if have > 0 else ""


def until_not_worse(judged: Judgement, soaked: float, spec: ExperimentSpec) -> str:
    """Time until an arm is surely not worse by more than matters, for people.

    Args:
        judged: the outcome that is still undecided.
        soaked: seconds that the step has lasted.
        spec: the declared experiment.
    """
    gap = judged.gain + judged.minimum_effect
    more = _of(judged, judged.gain - judged.low, gap, spec)
    if gap > 0 and math.isinf(more) and math.isfinite(judged.attainable):
        return "; these devices differ too much for it: more of them will tell, more time hardly"
    return _shown(soaked * min(more, _end([judged], spec)))


def until_compared(first: Sequence[Judgement], soaked: float, spec: ExperimentSpec) -> str:
    """Time until one arm is surely better, or none is by what matters, for people.

    Args:
        first: the deciding outcome of each arm.
        soaked: seconds that the experiment has lasted.
        spec: the declared experiment.
    """
    better = (_of(j, j.gain - j.low, j.gain, spec) for j in first)
    settled = (_of(j, j.high - j.gain, j.minimum_effect - j.gain, spec) for j in first)
    return _shown(soaked * min(*better, max(settled), _end(first, spec)))


def until_won(
    share: float, low: float, high: float, n: float, effect: float, soaked: float, alpha: float
) -> str:
    """Time until a share of sessions is surely not half, or no gain that matters, for people.

    Args:
        share: of the decided sessions that the candidate won.
        low: lower end of its interval.
        high: upper end.
        n: independent sessions that the decided ones are worth.
        effect: by how much more than half matters; 0 if any difference does.
        soaked: seconds that the experiment has lasted.
        alpha: chance of a wrong verdict.
    """
    half, above = (share - low, high - share) if share > 0.5 else (high - share, high - share)
    more = _more(half, abs(share - 0.5), n, PAIRS_TUNED_FOR, alpha)
    if effect:
        more = min(more, _more(above, 0.5 + effect - share, n, PAIRS_TUNED_FOR, alpha))
    return _shown(soaked * more)


def _of(judged: Judgement, half: float, gap: float, spec: ExperimentSpec) -> float:
    return _more(half, gap, judged.n, judged.tuned_for, spec.design.alpha, judged.attainable)


def _more(
    half: float, gap: float, n: float, tuned_for: float, alpha: float, most: float = math.inf
) -> float:
    """Data to come, as a multiple of what there is, until ``half`` an interval fits ``gap``.

    However many outcomes come, they are worth no more than ``most`` independent ones.
    """
    if gap <= 0 or n <= 0 or not math.isfinite(half):
        return math.inf
    # Geometric bisection: the width of a sequence falls with the data, but has no closed inverse.
    low, high = 1.0, MOST
    now = float(multiplier(n, alpha, tuned_for))
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        worth = 1 / ((1 / n - 1 / most) / middle + 1 / most)
        then = half * float(multiplier(worth, alpha, tuned_for)) / now * math.sqrt(n / worth)
        low, high = (low, middle) if then <= gap else (middle, high)
    return high - 1 if high < MOST else math.inf


def _end(judged: Sequence[Judgement], spec: ExperimentSpec) -> float:
    """The same until all have come to the declared end."""
    slowest, horizon = min((j.n for j in judged), default=0.0), spec.design.horizon
    return math.inf if horizon is None or slowest <= 0 else horizon / slowest - 1


def _shown(seconds: float) -> str:
    return (
        f"; about {format_duration(seconds)} more, if it goes on so"
        if 0 < seconds < math.inf
        else ""
    )
