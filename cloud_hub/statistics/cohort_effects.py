"""Effects of a candidate in parts of a fleet: estimated, shrunk to each other, and told apart.

A cohort is the devices with one value of a declared attribute. Looked at one by one, some of many
cohorts always seem better or worse, and the one that seems best is overestimated. So there are
three steps, each a function: :func:`stratified_difference` estimates the effect in one cohort,
:func:`shrink` draws the estimates of one attribute together as far as they do not differ by more
than chance, and :func:`told_apart` says which effects are real, at a false discovery rate.

Sources:
    R. Bell, D. McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage
    samples", Survey Methodology 28(2), 2002 (few clusters: residuals by leverage, degrees of
    freedom).
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

from cloud_hub.statistics.clustered import Contrast, Floats, Sample
from cloud_hub.statistics.false_discovery import discoveries
from cloud_hub.statistics.sequential import always_valid_p, log_e_value

TUNED_FOR: Final = 500
"""Independent outcomes an arm at which tests of cohorts have most power: a cohort has fewer than a
fleet, and only larger effects can be found in it."""

RATE: Final = 0.05
"""Expected share of cohorts among those told that have no effect, at most."""

WHOLE: Final = 1 - 1e-9
"""Share of an arm from which on a device is the arm."""


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


def stratified_difference(control: Sample, candidate: Sample, *, scale: float = 1.0) -> Contrast:
    """Estimate mean(candidate) - mean(control) within periods of time, counting devices.

    Of each period ``t`` the arms' difference ``d_t``, weighted by ``n_t m_t / (n_t + m_t)`` of its
    outcomes on both arms; so a share that rises while outcomes change by themselves makes no
    effect, and a period with one arm only counts for nothing. The variance is that of devices'
    contributions over all periods, each divided by what its device leaves to the others
    (``1 - its share of the arm``, the jackknife's); degrees of freedom are those of
    Bell and McCaffrey for devices that differ: the arms' ``(sum h^2)^2 / sum h^4 - 1`` of the
    devices' shares ``h``, joined as Satterthwaite does.

    Assumes that devices are independent of each other; a device may be on both arms, at once or one
    after the other. Fails where what a device reports decides which cohort it is in. With few
    devices, or one that has most of the traffic, degrees of freedom are few and effects are found
    late or never; with one device on an arm there is no variance.

    Args:
        control: the arm that is compared with, [..., periods, devices].
        candidate: the same periods and devices on the other arm, [..., periods, devices].
        scale: range of one outcome, 0 where it has none.

    Returns:
        Arrays [...]. Where an arm's devices say nothing of how they differ, as of one device, the
        variance is infinite and ``n`` 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        n, m = control.n.sum(axis=-1), candidate.n.sum(axis=-1)
        weight = np.nan_to_num(n * m / (n + m))
        weight = np.nan_to_num(weight / weight.sum(axis=-1, keepdims=True))
        a, b = _arm(control, weight, scale), _arm(candidate, weight, scale)
        by_device = np.sum((b.contributions - a.contributions) ** 2, axis=-1)
        variance = np.fmax(by_device, a.by_request + b.by_request)
        freedom = _freedom(a, b)
        independent = (a.spread + b.spread) / variance
    known = (weight.sum(axis=-1) > 0) & (np.minimum(a.freedom, b.freedom) >= 1) & (variance > 0)
    return Contrast(
        np.where(known, b.mean - a.mean, 0.0),
        np.where(known, variance, np.inf),
        np.where(known, independent, 0.0),
        np.where(known, freedom, np.inf),
    )


def mean_of_pairs(differences: Sample, *, scale: float = 1.0) -> Contrast:
    """Estimate a mean of paired differences as :func:`stratified_difference` does.

    Args:
        differences: how many, sum and squares, [..., periods, devices].
        scale: range of one difference, 0 where it has none.
    """
    n = differences.n.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.nan_to_num(n / n.sum(axis=-1, keepdims=True))
        arm = _arm(differences, weight, scale)
        variance = np.fmax(np.sum(arm.contributions**2, axis=-1), arm.by_request)
        independent = arm.spread / variance
    known = (n.sum(axis=-1) > 0) & (arm.freedom >= 1) & (variance > 0)
    return Contrast(
        np.where(known, arm.mean, 0.0),
        np.where(known, variance, np.inf),
        np.where(known, independent, 0.0),
        np.where(known, arm.freedom, np.inf),
    )


@dataclass(frozen=True)
class _StratifiedArm:
    mean: Floats
    spread: Floats
    by_request: Floats
    contributions: Floats
    weight: Floats
    freedom: Floats


def _arm(sample: Sample, weight: Floats, scale: float) -> _StratifiedArm:
    n = sample.n.sum(axis=-1)
    mean = np.nan_to_num(sample.total.sum(axis=-1) / n)
    plain = np.maximum(np.nan_to_num(sample.squares.sum(axis=-1) / n) - mean**2, 0.0)
    # As if one more outcome had been off: with all alike so far the variance must not be 0.
    spread = plain + np.where(plain > 0, (scale / (n + 1)) ** 2, scale**2 / (n + 1))
    of_outcome = np.nan_to_num(weight / n)[..., None]
    contributions = np.sum(of_outcome * (sample.total - mean[..., None] * sample.n), axis=-2)
    share = np.sum(of_outcome * sample.n, axis=-2)
    alone = share >= WHOLE
    weights = share**2
    return _StratifiedArm(
        mean=np.sum(weight * mean, axis=-1),
        spread=np.sum(weight * spread, axis=-1),
        by_request=np.sum(np.nan_to_num(weight**2 * spread / n), axis=-1),
        contributions=np.where(alone, 0.0, contributions / np.where(alone, 1.0, 1 - share)),
        weight=weights.sum(axis=-1),
        freedom=np.nan_to_num(weights.sum(axis=-1) ** 2 / np.sum(weights**2, axis=-1)) - 1,
    )


def _freedom(a: _StratifiedArm, b: _StratifiedArm) -> Floats:
    # Of the variances that devices' shares make likely, not of those that were seen: where the few
    # devices of one arm happen to agree, theirs would seem to be known as well as the other arm's.
    below = a.weight**2 / np.maximum(a.freedom, 1) + b.weight**2 / np.maximum(b.freedom, 1)
    return np.asarray((a.weight + b.weight) ** 2 / below)


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
