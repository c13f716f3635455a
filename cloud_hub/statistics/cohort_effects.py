"""Effects of a candidate in parts of a fleet: estimated, shrunk to each other, and told apart.

A cohort is the devices with one value of a declared attribute. Looked at one by one, some of many
cohorts always seem better or worse, and the one that seems best is overestimated. So the
effects that :mod:`cloud_hub.statistics.stratified` estimates are drawn together as far as those of
one attribute do not differ by more than chance (:func:`shrink`), and :func:`told_apart` says which
are real, at a false discovery rate.

Sources:
    W. James, C. Stein, "Estimation with quadratic loss", Fourth Berkeley Symposium, 1961.
    B. Efron, C. Morris, "Data analysis using Stein's estimator and its generalizations", JASA
    70(350), 1975 (unequal variances, empirical Bayes).
    R. Paule, J. Mandel, "Consensus values and weighting factors", Journal of Research of the
    National Bureau of Standards 87(5), 1982 (the variance between cohorts).
    Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", JRSS B 57, 1995.
    R. Wang, A. Ramdas, "False discovery rate control with e-values", JRSS B 84(3), 2022 (the same
    procedure on e-values, for tests that depend on each other in any way).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from cloud_hub.statistics.multiple import discoveries
from cloud_hub.statistics.samples import Contrast, Floats
from cloud_hub.statistics.sequential import always_valid_p, log_e_value

TUNED_FOR: Final = 500
"""Independent outcomes an arm at which tests of cohorts have most power: a cohort has fewer than a
fleet, and only larger effects can be found in it."""

RATE: Final = 0.05
"""Expected share of cohorts among those told that have no effect, at most."""


@dataclass(frozen=True)
class ShrunkEffects:
    """Estimates of several cohorts, drawn towards ``mean``; arrays [C] but for the last two.

    ``kept`` is the part of each cohort's distance from the mean that is left, 0 to 1. ``between``
    is the estimated variance of the true effects.
    """

    effects: Floats
    kept: Floats
    mean: float
    between: float


def shrink(estimates: ArrayLike, variances: ArrayLike) -> ShrunkEffects:
    """Draw estimates towards their common mean: the less, the more they really differ.

    Empirical Bayes under ``estimate ~ N(effect, variance)``, ``effect ~ N(mean, between)``: each is
    ``mean + between / (between + variance) * (estimate - mean)``, where ``between`` is that of
    Paule and Mandel (their squared standardised distances add up to one less than the cohorts) and
    ``mean`` is weighted by ``1 / (between + variance)``. With equal variances it is a positive-part
    James-Stein estimator. From four cohorts on its squared error, added up over cohorts, is smaller
    than that of the estimates for whatever effects; of fewer that is no theorem. A single cohort
    that differs from all others is drawn too far.

    Args:
        estimates: of the cohorts, [C].
        variances: theirs, [C]; an infinite one is of a cohort that says nothing.
    """
    y, v = np.asarray(estimates, np.float64), np.asarray(variances, np.float64)
    known = np.isfinite(v)
    if not known.any():
        return ShrunkEffects(np.zeros_like(y), np.zeros_like(y), 0.0, 0.0)
    between = _between(y[known], v[known])
    mean = _consensus(y[known], v[known], between)
    with np.errstate(invalid="ignore"):
        kept = np.where(known, between / (between + v), 0.0)
    return ShrunkEffects(mean + kept * (y - mean), kept, mean, between)


def _consensus(y: Floats, v: Floats, between: float) -> float:
    weights = 1 / (v + between)
    return float(weights @ y / weights.sum())


def _between(y: Floats, v: Floats) -> float:
    def excess(between: float) -> float:
        apart = y - _consensus(y, v, between)
        return float(np.sum(apart**2 / (v + between))) - (len(y) - 1)

    if len(y) < 2 or excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.ptp(y)) ** 2 + float(v.max())
    # The excess falls in ``between``; it is below 0 at the upper end.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def told_apart(contrasts: Contrast, rate: float = RATE) -> tuple[set[int], Floats]:
    """Return the cohorts whose effect is not 0, and the log e-value of each.

    Benjamini and Hochberg's procedure on ``1 / e``: its false discovery rate is at most ``rate``
    for e-values that depend on each other in any way (cohorts of several attributes share devices),
    and, since each is one at any look, whenever the report is read. Assumes what
    :func:`~cloud_hub.statistics.sequential.log_e_value` does of each.

    Args:
        contrasts: of all cohorts, attributes, outcomes and arms that are told of together, [C].
        rate: expected share of false ones among those returned, at most.
    """
    log_e = log_e_value(contrasts, TUNED_FOR)
    return discoveries(always_valid_p(log_e).tolist(), rate), log_e


def against_the_rest(contrasts: Contrast) -> Contrast:
    """Difference of each cohort's effect from the effect in the others, [C].

    The others' effects are weighted by ``1 / variance``. Cohorts share no device, so the variances
    add up; degrees of freedom are Satterthwaite's. A cohort that says nothing, or has no others
    that do, has an infinite variance.

    Args:
        contrasts: of all values of one attribute, [C].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = 1 / contrasts.variance
        others = weight.sum() - weight
        mean = (weight @ contrasts.estimate - weight * contrasts.estimate) / others
        # Each variance squared by its freedom, of a weighted mean of the others.
        unsure = weight**2 / contrasts.freedom
        rest = (unsure.sum() - unsure) / others**4
        variance = contrasts.variance + 1 / others
        freedom = variance**2 / (contrasts.variance**2 / contrasts.freedom + rest)
        n = contrasts.n * contrasts.variance / variance
    known = np.isfinite(contrasts.variance) & (others > 0)
    return Contrast(
        np.where(known, contrasts.estimate - mean, 0.0),
        np.where(known, variance, np.inf),
        np.where(known, n, 0.0),
        np.where(known, freedom, np.inf),
    )


def joined(contrasts: list[Contrast]) -> Contrast:
    """Return single contrasts as arrays of one, [C]."""
    fields = ("estimate", "variance", "n", "freedom")
    columns = (np.array([float(getattr(c, name)) for c in contrasts]) for name in fields)
    return Contrast(*columns)
