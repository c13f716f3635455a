"""Differences of arms within periods of time, where devices are few and unlike.

Beside :mod:`cloud_hub.statistics.clustered` it asks more of the devices and less of a prior: how
much devices differ is what they show, and how well that is known follows from how traffic is spread
over them.

Source:
    R. Bell, D. McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage
    samples", Survey Methodology 28(2), 2002 (few clusters: residuals by leverage, degrees of
    freedom).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_hub.statistics.samples import Contrast, Floats, Sample

WHOLE: Final = 1 - 1e-9
"""Share of an arm from which on a device is the arm."""


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


def separate_difference(control: Contrast, candidate: Contrast) -> Contrast:
    """Difference of two means, each of devices of its own; shapes are broadcast.

    Variances add up; degrees of freedom are the fewer of the two, which is the safe side. Where
    devices are on both arms and alike on both, the variance is too large.

    Args:
        control: a mean, as of :func:`mean_of_pairs`.
        candidate: the other.
    """
    with np.errstate(invalid="ignore"):
        variance = control.variance + candidate.variance
        spread = control.n * control.variance + candidate.n * candidate.variance
        known = np.isfinite(variance)
        n = np.where(known, spread / variance, 0.0)
    estimate = np.where(known, candidate.estimate - control.estimate, 0.0)
    return Contrast(estimate, variance, n, np.minimum(control.freedom, candidate.freedom))


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
