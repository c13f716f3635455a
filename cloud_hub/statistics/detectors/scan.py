"""A scan over single devices and cohorts: which of them changed, though the fleet hardly did.

Each is held against its own past, so devices may differ as they like. What all devices do together,
such as a night, is no change of one: the median of all changes is subtracted from a device's, the
change of all others from a cohort's. How much a device varies by itself from window to window is
learned from its past, together with that of the others (empirical Bayes), so rows may come in runs.
A device without a past is held against the other devices, where chance explains most of how these
differ; where they differ by more, an odd one may always have been so, and there is no verdict.

P-values are Student's; over all devices, cohorts and features the false discovery rate is held for
any dependence, because features of one device hang together, and a cohort with its devices.

Assumes windows that vary as those before. Fails for a device that was odd from its first window on
in a fleet whose devices differ, for changes that are slower than the past that is looked at, and
where most devices change (that is drift of the fleet).

Sources: G. Smyth, "Linear models and empirical Bayes methods for assessing differential expression
in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3(1), 2004
(moderated t); Y. Benjamini, D. Yekutieli, "The control of the false discovery rate in multiple
testing under dependency", Annals of Statistics 29(4), 2001.
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
from scipy.stats import norm
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

BULK: Final = 0.85
"""Quantile of the other devices' differences from which their spread is told: a tenth of the
fleet may be odd without widening it.
"""


@dataclass(frozen=True)
class Changes:
    """Of some units, [U, C]: two-sided p-values (1 without a reading), and plain values before and
    after. ``own`` says which units were held against their own past, [U].
    """

    p: Floats
    before: Floats
    after: Floats
    own: NDArray[np.bool_]


def device_changes(now: Readings, past: Sequence[Readings]) -> Changes:
    """Compare each device with its own past, without what all devices do together.

    Args:
        now: of all devices in the window, [U, C].
        past: of the same devices, by earlier window; NaN where a device was not there.
    """
    values = np.stack([*(each.values for each in past), now.values])
    with _quietly():
        level = np.nanmean(values[:-1], axis=0) if past else np.full_like(now.values, np.nan)
        # What is common is what is left without the devices' own levels.
        values = values - np.nanmedian(values - level, axis=1, keepdims=True)
        own, p = _against_past(values, now, past)
        p = np.where(own, p, _against_others(now))
        middle = np.broadcast_to(np.nanmedian(now.plain, axis=0), p.shape)
    return _changes(p, own, now, past, middle)


def cohort_changes(now: Readings, past: Sequence[Readings]) -> Changes:
    """Compare each cohort's difference to the rest of the fleet with what it was.

    Args:
        now: ``values`` are differences between cohort and rest, ``plain`` the cohort's own, [U, C].
        past: the same of earlier windows.
    """
    with _quietly():
        own, p = _against_past(np.stack([*(e.values for e in past), now.values]), now, past)
    return _changes(p, own, now, past, now.plain)


def _changes(
    p: Floats, own: NDArray[np.bool_], now: Readings, past: Sequence[Readings], otherwise: Floats
) -> Changes:
    with _quietly():
        before = np.nanmean([each.plain for each in past], axis=0) if past else otherwise
    return Changes(
        np.where(np.isnan(p), 1.0, p), np.where(own, before, otherwise), now.plain, own.any(axis=1)
    )


def _against_past(
    values: Floats, now: Readings, past: Sequence[Readings]
) -> tuple[NDArray[np.bool_], Floats]:
    """Which units have a past, and moderated t-tests of the newest of ``values`` [K + 1, U, C]."""
    if len(past) < WINDOWS:
        return np.zeros(now.values.shape, np.bool_), np.ones_like(now.values)
    earlier = ~np.isnan(values[:-1])
    windows = earlier.sum(axis=0)
    noise = np.where(earlier, np.stack([each.noise for each in past]), np.nan)
    apart = values - np.nanmean(values[:-1], axis=0)
    freedom = np.maximum(1, windows - 1)
    # In units of what independent rows would do, and never below: histograms are no less random.
    variance = np.maximum(1.0, np.nansum(apart[:-1] ** 2 / noise, axis=0) / freedom)
    own = windows >= WINDOWS
    variance, freedom = moderated(np.where(own, variance, np.nan), freedom)
    error = np.sqrt(variance * (now.noise + np.nansum(noise, axis=0) / np.maximum(1, windows) ** 2))
    return own, 2 * student.sf(np.abs(apart[-1]) / error, freedom)


def moderated(variances: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Return variances drawn up towards that of all units, and degrees of freedom to go with them.

    How far follows from how much they differ beyond chance; with few units, not at all.

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
    # A device that varies more than the others is never taken to vary less than it did.
    return np.maximum(drawn, variances), prior + freedom


def _inverse_trigamma(values: Floats) -> Floats:
    """Newton's method; :data:`ALIKE` where variances differ by no more than chance."""
    wanted = np.maximum(values, 1 / ALIKE)
    found = 0.5 + 1 / wanted
    for _ in range(20):
        slope = polygamma(1, found)
        found = found + slope * (1 - slope / wanted) / polygamma(2, found)
    return np.minimum(found, ALIKE)


def _against_others(now: Readings) -> Floats:
    """Two-sided p-values of being unlike the other devices, [U, C]."""
    values, noise = now.values, now.noise
    if len(values) < OTHERS:
        return np.ones_like(values)
    apart = values - np.nanmedian(values, axis=0)
    low, high = np.nanquantile(apart, [1 - BULK, BULK], axis=0)
    spread = (np.maximum(high, -low) / norm.ppf(BULK)) ** 2
    chance = np.nanmedian(noise, axis=0)
    between = np.maximum(0.0, spread - chance)
    # How the devices' own levels are distributed is not known. As long as chance explains most of
    # the spread its tails do little harm; beyond that, an odd device may be one of its tail.
    part = np.maximum(between / (between + chance), 1e-3)
    p = 2 * student.sf(np.abs(apart) / np.sqrt(between + noise), 4 / part**2)
    return np.where(part <= 0.5, p, 1.0)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without numpy's warnings of means of nothing: they are NaN, and meant to be."""
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
