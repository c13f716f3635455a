"""Classical tests of two samples, shown beside the sequential ones for comparison.

They are valid once, at the planned end. Read at every look they find winners that are none, and
they take requests of one device as independent; `make statistics` shows how often.

Sources:
    B. Welch, "The generalization of 'Student's' problem when several different population variances
    are involved", Biometrika 34, 1947.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloud_hub.deferred.libraries import ndtr, stdtr

if TYPE_CHECKING:
    from cloud_hub.statistics.sequential import SampleMoments


@dataclass(frozen=True)
class Classical:
    """One test: its name, statistic and two-sided p-value; ``valid`` only at the planned end."""

    test: str
    statistic: float
    p: float
    valid: bool


def two_proportion_z(
    control: SampleMoments, candidate: SampleMoments, *, at_the_end: bool
) -> Classical:
    """Pooled two-sample z-test of 0/1 outcomes.

    The difference of the shares divided by ``sqrt(p (1 - p) (1/n + 1/m))``, ``p`` being the share
    in both samples together; normal under equal shares with many independent outcomes.

    Args:
        control: moments of the first sample.
        candidate: moments of the second; the statistic is positive where its share is higher.
        at_the_end: whether this is the one planned analysis, for which alone the p-value holds.
    """
    n = control.n + candidate.n
    pooled = (control.total + candidate.total) / n if n else 0.0
    # All alike, or nothing there: the standard error would be 0, and there is no evidence.
    if min(control.n, candidate.n) == 0 or pooled in (0.0, 1.0):
        return Classical("two-proportion z", 0.0, 1.0, at_the_end)
    error = math.sqrt(pooled * (1 - pooled) * (1 / control.n + 1 / candidate.n))
    z = (candidate.mean - control.mean) / error
    return Classical("two-proportion z", z, float(2 * ndtr(-abs(z))), at_the_end)


def welch(control: SampleMoments, candidate: SampleMoments, *, at_the_end: bool) -> Classical:
    """Welch's t-test of two means with unequal variances.

    The difference of the means divided by ``sqrt(s1^2 / n + s2^2 / m)``, against Student's
    distribution with Welch and Satterthwaite's degrees of freedom. Assumes independent outcomes.

    Args:
        control: moments of the first sample.
        candidate: moments of the second; the statistic is positive where its mean is higher.
        at_the_end: whether this is the one planned analysis, for which alone the p-value holds.
    """
    if min(control.n, candidate.n) < 2:
        return Classical("Welch", 0.0, 1.0, at_the_end)
    a, b = _error(control), _error(candidate)
    if a + b == 0:
        return Classical("Welch", 0.0, 1.0, at_the_end)
    t = (candidate.mean - control.mean) / math.sqrt(a + b)
    # By parts of the sum: squares of very small errors would be 0.
    u, v = a / (a + b), b / (a + b)
    freedom = 1 / (u**2 / (control.n - 1) + v**2 / (candidate.n - 1))
    return Classical("Welch", t, float(2 * stdtr(freedom, -abs(t))), at_the_end)


def _error(sample: SampleMoments) -> float:
    """The squared standard error of a mean."""
    # Rounding can take the difference of large sums of squares below 0.
    centred = max(0.0, sample.squares - sample.n * sample.mean**2)
    return centred / (sample.n - 1) / sample.n
