"""Comparison of two arms by device: requests of one device are alike, so devices are counted.

A device sends the number, the sum and the sum of squares of its outcomes on an arm; nothing else is
needed. The variance of a difference of means is that of the devices' linearised contributions (a
ratio estimator), with whatever requests of one device have in common inside it. Devices that are
on both arms (units smaller than a device) are their own control.

As more requests come from the same devices the estimate gains information like a Brownian motion
in ``1 / variance``; that is what lets :mod:`cloud_hub.statistics.sequential` look at any time.

Sources:
    W. Cochran, Sampling Techniques, 3rd edition, 1977, chapter 6 (ratio estimators).
    A. Deng, U. Knoblich, J. Lu, "Applying the Delta Method in Metric Analytics", KDD 2018.
    F. Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", 1946.
    G. Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression",
    Statistical Applications in Genetics and Molecular Biology 3(1), 2004 (moderated variances).
    D. Scharfstein, A. Tsiatis, J. Robins, "Semiparametric Efficiency and Its Implication on the
    Design and Analysis of Group-Sequential Studies", JASA 92(440), 1997 (independent increments).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_hub.statistics.random_effects import TINY, Own, fit, own_of
from cloud_hub.statistics.samples import Contrast, Floats, Sample

PRIOR: Final = 3.0
"""Degrees of freedom with which the variance of independent requests counts (Smyth 2004), where
devices are on both arms."""


def compare(
    control: Sample, candidate: Sample, *, scale: float = 1.0, past: Sample | None = None
) -> Contrast:
    """Difference of two arms' means, with a variance that counts devices.

    Of devices that are on one arm each: by :mod:`cloud_hub.statistics.random_effects`. Of those on
    both, which are their own control: with ``r`` the residual of a device, ``(its sum - the arm's
    mean * its n) / the arm's n``, the variance is ``D / (D - 1) * sum((r_candidate -
    r_control)^2)`` over the D devices, averaged with the variance of independent requests (``s^2 /
    n`` of both arms) by degrees of freedom, and never below the latter.

    Assumes that devices are independent of each other; nothing is assumed of the requests of one.

    Args:
        control: the arm that is compared with, [..., D].
        candidate: the same devices on the other arm, [..., D].
        scale: range of one outcome; few outcomes that are all alike must not pretend to certainty.
            0 where the range is unknown.
        past: outcomes of the same devices before either arm began, [..., D] or [D]; of those on
            both arms it says nothing that they do not say themselves.

    Returns:
        The contrast; without data on an arm, or with too few devices to say how much they differ,
        its variance is infinite and ``n`` 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = _arm(control, scale), _arm(candidate, scale)
        if np.any((control.n > 0) & (candidate.n > 0)):
            return compare_totals(control, candidate, scale=scale)
        own = None if past is None else _own(past, scale)
        return _apart(control, candidate, (a, b), own)


def mean_against(sample: Sample, reference: float, *, scale: float = 1.0) -> Contrast:
    """Difference of one arm's mean from a number, by device; assumes as :func:`compare`.

    Args:
        sample: the arm, [..., D].
        reference: the number, which has no variance.
        scale: range of one outcome, as in :func:`compare`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        arm = _arm(sample, scale)
        known = np.where(sample.n > 0, arm.spread[..., None] / sample.n, np.inf)
        fitted = fit(sample.total / sample.n, known, [sample.n > 0])
        estimate = fitted.mean[..., 0] - reference
        return _contrast(
            estimate, fitted.variance[..., 0], fitted.attainable[..., 0], arm.spread, fitted.freedom
        )


def _apart(
    control: Sample, candidate: Sample, arms: tuple[_Arm, _Arm], own: Own | None
) -> Contrast:
    """The difference of arms that share no device."""
    a, b = arms
    n, inside = control.n + candidate.n, candidate.n > 0
    # An arm whose outcomes are all alike has no variance of its own to be seen.
    spread = (
        np.where(a.spread > 0, a.spread, b.spread),
        np.where(b.spread > 0, b.spread, a.spread),
    )
    one = np.where(inside, spread[1][..., None], spread[0][..., None])
    known = np.where(n > 0, one / n, np.inf)
    fitted = fit((control.total + candidate.total) / n, known, [control.n > 0, inside], own)
    estimate = fitted.mean[..., 1] - fitted.mean[..., 0]
    return _contrast(
        estimate, np.sum(fitted.variance, axis=-1), np.sum(fitted.attainable, axis=-1),
        spread[0] + spread[1], fitted.freedom,
    )  # fmt: skip


def _contrast(
    estimate: Floats, variance: Floats, attainable: Floats, spread: Floats, freedom: Floats
) -> Contrast:
    """The contrast, or none: without variance, or without freedom to say what it is."""
    some = np.isfinite(estimate) & np.isfinite(variance) & (variance > TINY) & (freedom >= 1)
    # Of errors of numbers the spread has a unit, and may be huge: the quotient must be a double.
    known = some & (attainable > TINY * np.maximum(spread, 1.0))
    return Contrast(
        np.where(some, estimate, 0.0),
        np.where(some, variance, np.inf),
        np.where(some, spread / variance, 0.0),
        np.where(some, freedom, np.inf),
        np.where(known, spread / np.where(known, attainable, 1.0), np.inf),
    )


def _own(past: Sample, scale: float) -> Own:
    arm = _arm(past, scale)
    known = np.where(past.n > 0, arm.spread[..., None] / past.n, np.inf)
    return own_of(past.total / past.n, known)


def compare_totals(control: Sample, candidate: Sample, *, scale: float = 1.0) -> Contrast:
    """Difference of two arms' means over all requests, as where devices are on both arms.

    Args:
        control: the arm that is compared with, [..., D].
        candidate: the same devices, or buckets of keys, on the other arm, [..., D].
        scale: range of one outcome, as in :func:`compare`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = _arm(control, scale), _arm(candidate, scale)
        # One device's residuals on both arms are subtracted first: what they share cancels.
        by_device = np.sum((b.residuals - a.residuals) ** 2, axis=-1)
        by_device *= _corrected(np.sum((control.n > 0) | (candidate.n > 0), axis=-1))
        by_request = a.spread / a.n + b.spread / b.n
        freedom = _freedom(a, b)
        variance = _moderated(by_device, by_request, freedom)
        # Outcomes that are all alike, or no numbers, say nothing of what others would be.
        known = (np.minimum(a.devices, b.devices) >= 1) & np.isfinite(b.mean - a.mean)
        known &= np.isfinite(variance) & (variance > TINY)
        # Variance of one outcome over that of the estimate: the outcomes that the data are worth.
        n = (a.spread + b.spread) / variance
    return Contrast(
        np.where(known, b.mean - a.mean, 0.0),
        np.where(known, variance, np.inf),
        np.where(known, n, 0.0),
        np.where(known, freedom + PRIOR, np.inf),
        np.full(known.shape, np.inf),
    )


def _moderated(by_device: Floats, by_request: Floats, freedom: Floats) -> Floats:
    """Average of the two variances by degrees of freedom, never below that of independent requests.

    Few devices hardly say how much devices differ.
    """
    # fmax, not maximum: a NaN of an empty arm gives way to the other.
    mixed = (freedom * by_device + PRIOR * by_request) / (freedom + PRIOR)
    return np.fmax(mixed, by_request)


@dataclass(frozen=True)
class _Arm:
    n: Floats
    mean: Floats
    spread: Floats
    residuals: Floats
    devices: Floats


def _arm(sample: Sample, scale: float) -> _Arm:
    n = np.sum(sample.n, axis=-1)
    mean = np.sum(sample.total, axis=-1) / n
    plain = np.maximum(np.sum(sample.squares, axis=-1) / n - mean**2, 0.0)
    # As if one more outcome had been off: with all alike so far the variance must not be 0.
    floor = np.where(plain > 0, (scale / (n + 1)) ** 2, scale**2 / (n + 1))
    residuals = (sample.total - mean[..., None] * sample.n) / n[..., None]
    return _Arm(n, mean, plain + floor, np.nan_to_num(residuals), np.sum(sample.n > 0, axis=-1))


def _corrected(devices: Floats) -> Floats:
    """Factor from residuals about a fitted mean to a variance."""
    return devices / np.maximum(devices - 1, 1)


def _freedom(a: _Arm, b: _Arm) -> Floats:
    """Satterthwaite's degrees of freedom of the devices' variance."""
    va, vb = np.sum(a.residuals**2, axis=-1), np.sum(b.residuals**2, axis=-1)
    below = va**2 / np.maximum(a.devices - 1, 0.5) + vb**2 / np.maximum(b.devices - 1, 0.5)
    plain = np.maximum(a.devices + b.devices - 2.0, 0.0)
    return np.where(below > 0, (va + vb) ** 2 / below, plain)
