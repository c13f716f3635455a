"""A scan over single devices and cohorts: which of them changed, though the fleet hardly did.

Each is held against its own past, so devices may differ as they like. What all devices do together,
such as a night, is no change of one: the median of all changes is subtracted from a device's, the
change of all others from a cohort's. How much a device varies by itself from window to window is
learned from its past, together with that of the others (empirical Bayes), so rows may come in runs.
A device without a past is held against the other devices, where chance explains much of how these
differ; where they differ by more, an odd one may always have been so, and there is no verdict.

Who changed did so in each of the newest windows, and by more than ever in its past. P-values are
Student's; over all features the false discovery rate is to be held for any dependence, because
features of one device hang together.

Assumes windows that vary as those before. Fails for a device that was odd from its first window on
in a fleet whose devices differ, for changes that are slower than the past that is looked at, and
where most devices change (that is drift of the fleet).

Sources: G. Smyth, "Linear models and empirical Bayes methods for assessing differential expression
in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3(1), 2004
(moderated t); B. Phipson et al., "Robust hyperparameter estimation protects against hypervariable
genes", Annals of Applied Statistics 10(2), 2016 (those that vary far more); Y. Benjamini,
D. Yekutieli, "The control of the false discovery rate in multiple testing under dependency", Annals
of Statistics 29(4), 2001.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma
from scipy.stats import chi2, norm
from scipy.stats import t as student

from cloud_hub.statistics.detectors.contrasts import Readings
from cloud_hub.statistics.detectors.dependence import WINDOWS

Floats = NDArray[np.float64]

LEAST: Final = 5
"""Devices without which no median tells what is common to them."""

OTHERS: Final = 20
"""Devices without which the spread of the others is not known well enough."""

UNITS: Final = 8
"""Units without which nothing is learned from the others about how much one varies."""

ALIKE: Final = 1e4
"""Half the degrees of freedom of a variance that all units share."""

ODD: Final = 0.001
"""Chance below which the variance of a unit is its own."""

BULK: Final = 0.85
"""Quantile of the other devices' differences from which their spread is told: a tenth of the
fleet may be odd without widening it.
"""


OWN: Final = 0.75
"""Part of the spread that may be the devices' own; of more, nobody is told from nobody."""


@dataclass(frozen=True)
class Changes:
    """Of some units, [U, C]: two-sided p-values (1 without a reading), and plain values before and
    after. ``own`` says which units were held against their own past, [U].
    """

    p: Floats
    before: Floats
    after: Floats
    own: NDArray[np.bool_]


def device_changes(now: Sequence[Readings], past: Sequence[Readings]) -> Changes:
    """Compare each device with its own past, without what all devices do together.

    Args:
        now: of all devices in the newest windows, [U, C] each, the very newest last. Devices that
            changed are those that did in each of them, in one direction.
        past: of the same devices, by earlier window; NaN where a device was not there.
    """
    with _quietly():
        values = np.stack([each.values for each in (*past, *now)])
        if past:
            # What is common is what is left without the devices' own levels.
            level = np.nanmean(values[: len(past)], axis=0)
            values = values - np.nanmedian(values - level, axis=1, keepdims=True)
        own, p = _against_past(values, now, past)
        p = np.where(own, p, _agreed([_against_others(each) for each in now]))
        middle = np.broadcast_to(np.nanmedian(now[-1].plain, axis=0), p.shape)
    return _changes(p, own, now, past, middle)


def cohort_changes(now: Sequence[Readings], past: Sequence[Readings]) -> Changes:
    """Compare each cohort's difference to the rest of the fleet with what it was.

    Args:
        now: of all cohorts in the newest windows, [U, C] each, the very newest last; ``values`` are
            differences between cohort and rest, ``plain`` the cohort's own.
        past: the same of earlier windows.
    """
    with _quietly():
        values = np.stack([each.values for each in (*past, *now)])
        own, p = _against_past(values, now, past)
    return _changes(p, own, now, past, now[-1].plain)


def _changes(
    p: Floats,
    own: NDArray[np.bool_],
    now: Sequence[Readings],
    past: Sequence[Readings],
    otherwise: Floats,
) -> Changes:
    with _quietly():
        before = np.nanmean([each.plain for each in past], axis=0) if past else otherwise
    known = np.where(np.isnan(p), 1.0, p)
    return Changes(
        known, np.where(own, before, otherwise), now[-1].plain, np.asarray(own.any(axis=1))
    )


def _signed(p: Floats, apart: Floats) -> Floats:
    """P-values with the sign of ``apart``; those too small for a double keep it too."""
    signed: Floats = np.maximum(p, 1e-300) * np.where(apart < 0, -1, 1)
    return signed


def _agreed(signed: Sequence[Floats]) -> Floats:
    """The largest p-value of several windows, of signed ones; 1 where the signs differ."""
    stacked = np.stack(signed)
    agree = (np.sign(stacked) == np.sign(stacked[0])).all(axis=0)
    largest: Floats = np.where(agree, np.abs(stacked).max(axis=0), 1.0)
    return largest


def _against_past(
    values: Floats, now: Sequence[Readings], past: Sequence[Readings]
) -> tuple[NDArray[np.bool_], Floats]:
    """Which units have a past, and moderated t-tests of the newest of ``values``, [W, U, C]."""
    count = len(past)
    if count < WINDOWS:
        return np.zeros(values.shape[1:], np.bool_), np.ones(values.shape[1:])
    earlier = ~np.isnan(values[:count])
    windows = earlier.sum(axis=0)
    noise = np.where(earlier, np.stack([each.noise for each in past]), np.nan)
    apart = values - np.nanmean(values[:count], axis=0)
    freedom = np.maximum(1, windows - 1)
    # In units of what independent rows would do, and never below: histograms are no less random.
    variance = np.maximum(1.0, np.nansum(apart[:count] ** 2 / noise, axis=0) / freedom)
    own = windows >= WINDOWS
    variance, freedom = moderated(np.where(own, variance, np.nan), freedom)
    of_mean = np.nansum(noise, axis=0) / np.maximum(1, windows) ** 2
    # Nothing is odd that was there before: Student's tails are too light for some devices.
    most = np.nanmax(np.abs(apart[:count]), axis=0)
    signed = []
    for new, each in zip(apart[count:], now, strict=True):
        p = 2 * student.sf(np.abs(new) / np.sqrt(variance * (each.noise + of_mean)), freedom)
        signed.append(_signed(np.where(np.abs(new) > most, p, 1.0), new))
    return own, _agreed(signed)


def moderated(variances: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Return variances drawn up towards that of all units, and degrees of freedom to go with them.

    How far follows from how much they differ beyond chance; with few units, not at all. A variance
    that is beyond what chance makes of the common one stays as it is.

    Args:
        variances: estimates, [U, C]; NaN where there is none.
        freedom: of each, [U, C].
    """
    known = ~np.isnan(variances)
    if known.sum(axis=0).max(initial=0) < UNITS:
        return variances, freedom
    half = freedom / 2
    logs = np.where(known, np.log(variances) - digamma(half) + np.log(half), np.nan)
    middle = np.nanmean(logs, axis=0)
    chance = np.nanmean(np.where(known, polygamma(1, half), np.nan), axis=0)
    prior = 2 * _inverse_trigamma(np.nanvar(logs, axis=0, ddof=1) - chance)
    common = np.maximum(1.0, np.exp(middle + digamma(prior / 2) - np.log(prior / 2)))
    drawn = (prior * common + freedom * variances) / (prior + freedom)
    # One that varies far more than the others speaks for itself.
    odd = variances > common * chi2.isf(ODD, freedom) / freedom
    return np.where(odd, variances, drawn), np.where(odd, freedom, prior + freedom)


def _inverse_trigamma(values: Floats) -> Floats:
    """Newton's method; :data:`ALIKE` where variances differ by no more than chance."""
    wanted = np.maximum(values, 1 / ALIKE)
    found = 0.5 + 1 / wanted
    for _ in range(20):
        slope = polygamma(1, found)
        found = found + slope * (1 - slope / wanted) / polygamma(2, found)
    return np.minimum(found, ALIKE)


def _against_others(now: Readings) -> Floats:
    """Two-sided p-values of being unlike the other devices, below 0 for less, [U, C]."""
    values, noise = now.values, now.noise
    if len(values) < OTHERS:
        return np.ones_like(values)
    apart = values - np.nanmedian(values, axis=0)
    low, high = np.nanquantile(apart, [1 - BULK, BULK], axis=0)
    spread = (np.maximum(high, -low) / norm.ppf(BULK)) ** 2
    chance = np.nanmedian(noise, axis=0)
    between = np.maximum(0.0, spread - chance)
    # How the devices' own levels are distributed is not known. While chance explains much of the
    # spread its tails do little harm; beyond that, an odd device may be one of its tail.
    part = np.maximum(between / (between + chance), 1e-3)
    p = 2 * student.sf(np.abs(apart) / np.sqrt(between + noise), 4 / part**2)
    return _signed(np.where(part <= OWN, p, 1.0), apart)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without numpy's warnings of means of nothing: they are NaN, and meant to be."""
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
