"""A scan over single devices and cohorts: which of them changed, though the fleet hardly did.

Each is held against its own past, so devices may differ as they like. What all devices do together,
such as a night, is no change of one: the median of all changes is subtracted from a device's, the
change of all others from a cohort's. How much a device varies by itself from window to window is
learned from its past, and is at least what is usual among all devices, so rows may come in runs.
A device without a past is held against the other devices, where chance explains much of how these
differ; where they differ by more, an odd one may always have been so, and there is no verdict.

Who changed did so in each of the newest windows, and by more than ever in its past. P-values are
Student's; over all features the false discovery rate is to be held for any dependence, because
features of one device hang together.

Assumes windows that vary as those before. Fails for a device that was odd from its first window on
in a fleet whose devices differ, for changes that are slower than the past that is looked at, and
where most devices change (that is drift of the fleet).

Sources: R. Conway, "Some tactical problems in digital simulation", Management Science 10(1), 1963
(variances of windows, not of rows); Y. Benjamini, D. Yekutieli, "The control of the false discovery
rate in multiple testing under dependency", Annals of Statistics 29(4), 2001.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import chi2, norm, student
from cloud_hub.statistics.detectors.contrasts import Readings
from cloud_hub.statistics.detectors.dependence import WINDOWS
from cloud_hub.statistics.samples import Floats

LEAST: Final = 5
"""Devices without which no median tells what is common to them."""

OTHERS: Final = 20
"""Devices without which the spread of the others is not known well enough."""

UNITS: Final = 8
"""Units without which nothing is learned from the others about how much one varies."""

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
    after. ``own`` says which units were held against their own past, [U]; ``variance`` is the mean
    of theirs, in units of what independent rows would have, [C].
    """

    p: Floats
    before: Floats
    after: Floats
    own: NDArray[np.bool_]
    variance: Floats


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
        own, p, variance = _against_past(values, now, past)
        p = np.where(own, p, _agreed([_against_others(each) for each in now]))
        middle = np.broadcast_to(np.nanmedian(now[-1].plain, axis=0), p.shape)
    return _changes(p, own, variance, now, past, middle)


def cohort_changes(
    now: Sequence[Readings], past: Sequence[Readings], least: Floats | float = 1.0
) -> Changes:
    """Compare each cohort's difference to the rest of the fleet with what it was.

    Args:
        now: of all cohorts in the newest windows, [U, C] each, the very newest last; ``values`` are
            differences between cohort and rest, ``plain`` the cohort's own.
        past: the same of earlier windows.
        least: variance that a cohort has at least: that of its devices, [C].
    """
    with _quietly():
        values = np.stack([each.values for each in (*past, *now)])
        own, p, variance = _against_past(values, now, past, least)
    return _changes(p, own, variance, now, past, now[-1].plain)


def _changes(
    p: Floats,
    own: NDArray[np.bool_],
    variance: Floats,
    now: Sequence[Readings],
    past: Sequence[Readings],
    otherwise: Floats,
) -> Changes:
    with _quietly():
        before = np.nanmean([each.plain for each in past], axis=0) if past else otherwise
    known = np.where(np.isnan(p), 1.0, p)
    before = np.where(own, before, otherwise)
    return Changes(known, before, now[-1].plain, np.asarray(own.any(axis=1)), variance)


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
    values: Floats,
    now: Sequence[Readings],
    past: Sequence[Readings],
    least: Floats | float = 1.0,
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Which units have a past, t-tests of the newest of ``values`` [W, U, C], mean variances."""
    count = len(past)
    if count < WINDOWS:
        nobody = np.zeros(values.shape[1:], np.bool_)
        return nobody, np.ones(values.shape[1:]), np.ones(values.shape[2])
    earlier = ~np.isnan(values[:count])
    windows = earlier.sum(axis=0)
    noise = np.where(earlier, np.stack([each.noise for each in past]), np.nan)
    apart = values - np.nanmean(values[:count], axis=0)
    freedom = np.maximum(1, windows - 1)
    # In units of what independent rows would do, and never below: histograms are no less random.
    variance = np.maximum(least, np.nansum(apart[:count] ** 2 / noise, axis=0) / freedom)
    own = windows >= WINDOWS
    variance, freedom = steadied(np.where(own, variance, np.nan), freedom)
    of_mean = np.nansum(noise, axis=0) / np.maximum(1, windows) ** 2
    # Nothing is odd that was there before: Student's tails are too light for some devices.
    most = np.nanmax(np.abs(apart[:count]), axis=0)
    signed = []
    for new, each in zip(apart[count:], now, strict=True):
        p = 2 * student.sf(np.abs(new) / np.sqrt(variance * (each.noise + of_mean)), freedom)
        signed.append(_signed(np.where(np.abs(new) > most, p, 1.0), new))
    mean = np.where(own.any(axis=0), np.nanmean(variance, axis=0), 1.0)
    return own, _agreed(signed), mean


def steadied(variances: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Return variances of at least the mean of all units, and degrees of freedom to go with them.

    A unit that was quiet, as all are about something rare, may vary as the others do. One that is
    beyond what chance makes of the mean speaks for itself. With few units, each does.

    Args:
        variances: estimates, [U, C]; NaN where there is none.
        freedom: of each, [U, C].
    """
    known = (~np.isnan(variances)).sum(axis=0)
    if known.max(initial=0) < UNITS:
        return variances, freedom
    mean = np.nanmean(variances, axis=0)
    odd = variances > mean * chi2.isf(ODD, freedom) / freedom
    return np.maximum(variances, mean), np.where(odd, freedom, known * freedom)


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
