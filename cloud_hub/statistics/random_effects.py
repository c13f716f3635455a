"""Random effects: devices have means of their own, whatever serves on them.

The mean that a device shows is ``arm's mean + the device's own + error``. Errors have a known
variance (that of one outcome, over how many there were); the devices' own have one variance
``tau^2`` on both arms, which is estimated from how far devices of the same arm are apart. A device
weighs ``1 / (tau^2 + its error's variance)``: one with half of the traffic of the fleet weighs
hardly more than another, for its many outcomes are all of one device.

What a device did before an experiment says what is its own (:class:`Own`). It is shrunk towards the
fleet by how reliable it is, and subtracted; what it cannot say stays in the variance.

Assumes that devices are independent, that their own means are about normal where there are few
devices, and that they spread alike on both arms. It fails where a candidate makes devices differ
much more than they did and is on a small share of them: then its mean is less sure than is said.

Sources:
    N. Laird, J. Ware, "Random-Effects Models for Longitudinal Data", Biometrics 38, 1982.
    R. Paule, J. Mandel, "Consensus Values and Weighting Factors", Journal of Research of the
    National Bureau of Standards 87(5), 1982 (the estimate of ``tau^2``).
    J. Hartung, G. Knapp, "A Refined Method for the Meta-analysis of Controlled Clinical Trials with
    Binary Outcome", Statistics in Medicine 20, 2001 (Student's t with the freedom of the groups).
    A. Deng, Y. Xu, R. Kohavi, T. Walker, "Improving the Sensitivity of Online Controlled
    Experiments by Utilizing Pre-Experiment Data", WSDM 2013 (CUPED).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.samples import Floats

Bits = NDArray[np.bool_]

STEPS: Final = 44
"""Bisections of an interval that surely holds ``tau^2``: to a part in 10^13 of it."""

PERSISTENCE: Final = 16.0
"""Information with which the slope on a device's own past counts as 1, before data say otherwise:
as if it were known with a standard error of a quarter. Five devices cannot tell a slope."""

TINY: Final = 1e-300
"""In place of a variance of 0, so that a weight is a number."""


@dataclass(frozen=True)
class Own:
    """What the past says of devices, arrays [..., D].

    ``effect`` is how far a device was from the fleet, shrunk by its reliability; 0 for one without
    a past. ``unknown`` is the variance of what that leaves open.
    """

    effect: Floats
    unknown: Floats


@dataclass(frozen=True)
class Fit:
    """Means of arms, arrays [..., A]; ``variance`` of each.

    ``attainable`` is what the variance comes to with any number of outcomes of the same devices;
    ``freedom`` [...] are the degrees of freedom of ``tau^2``, which is ``between`` [...].
    ``slope`` [...] is on the devices' own past.
    """

    mean: Floats
    variance: Floats
    attainable: Floats
    freedom: Floats
    between: Floats
    slope: Floats


def own_of(mean: Floats, known: Floats) -> Own:
    """Return what a past says of devices: the best linear prediction of each one's own mean.

    Args:
        mean: of each device in the past, [..., D].
        known: variance of its error; infinite for a device without a past.
    """
    there = np.isfinite(known)
    mean = np.where(there, mean, 0.0)
    spread = between(mean, known, [there], np.sum(there, axis=-1) - 1.0)[..., None]
    weight = there / np.maximum(known + spread, TINY)
    with np.errstate(invalid="ignore", divide="ignore"):
        fleet = np.sum(weight * mean, axis=-1, keepdims=True) / np.sum(
            weight, axis=-1, keepdims=True
        )
    reliable = weight * spread
    effect = np.where(there, reliable * (mean - np.nan_to_num(fleet)), 0.0)
    return Own(effect, spread * (1 - np.where(there, reliable, 0.0)))


def fit(mean: Floats, known: Floats, arms: Sequence[Bits], own: Own | None = None) -> Fit:
    """Estimate the arms' means.

    Args:
        mean: of each device, [..., D].
        known: variance of its error; infinite for a device without outcomes.
        arms: of each arm the devices that are on it, [..., D]; no device on two.
        own: what their past says of them.
    """
    masks = [arm & np.isfinite(known) for arm in arms]
    shown = np.where(np.isfinite(known), mean, 0.0)
    freedom = sum(np.sum(m, axis=-1) - np.any(m, axis=-1) * 1.0 for m in masks)
    slope = np.zeros(freedom.shape)
    if own is not None:
        slope, lost = _slope(shown, known, masks, own, freedom)
        shown = shown - slope[..., None] * own.effect
        known = known + slope[..., None] ** 2 * own.unknown
        freedom = freedom - lost
    spread = between(shown, known, masks, freedom)
    unknown = spread[..., None] + (
        0.0 if own is None else slope[..., None] ** 2 * own.unknown + 0.0 * shown
    )
    weights = [m / np.maximum(known + spread[..., None], TINY) for m in masks]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.stack([np.sum(w, axis=-1) for w in weights], axis=-1)
        means = np.stack([np.sum(w * shown, axis=-1) for w in weights], axis=-1) / total
        least = [np.sum(m / np.maximum(unknown, TINY), axis=-1) for m in masks]
        return Fit(means, 1 / total, 1 / np.stack(least, axis=-1), freedom, spread, slope)


def between(mean: Floats, known: Floats, arms: Sequence[Bits], freedom: Floats) -> Floats:
    """Variance of devices' own means: Paule and Mandel's estimate, pooled over arms; at least 0.

    The ``tau^2`` with which the weighted squares of devices about the mean of their arm,
    ``sum((y - m)^2 / (tau^2 + v))``, come to their degrees of freedom. 0 where they are below even
    without it, or where there is no freedom.

    Args:
        mean: of each device, [..., D].
        known: variance of its error, [..., D].
        arms: of each arm the devices that are on it, [..., D].
        freedom: degrees of freedom of the squares, [...].
    """
    # With all weights alike tau^2 would be so large; with those of v added it is smaller.
    equal = _squares(mean, np.zeros_like(mean), arms, np.ones(freedom.shape))
    with np.errstate(invalid="ignore", divide="ignore"):
        high = np.where(freedom > 0, equal / freedom, 0.0)
    low = np.zeros_like(high)
    wanted = np.where(freedom > 0, freedom, np.inf)
    for _ in range(STEPS):
        middle = (low + high) / 2
        more = _squares(mean, known, arms, middle) > wanted
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return cast(Floats, np.where(low > 0, (low + high) / 2, 0.0))


def _squares(mean: Floats, known: Floats, arms: Sequence[Bits], spread: Floats) -> Floats:
    """Weighted squares of devices about the mean of their arm, over all arms."""
    below = np.maximum(known + spread[..., None], TINY)
    total = np.zeros(spread.shape)
    for arm in arms:
        weight = arm / below
        all_of_it = np.maximum(np.sum(weight, axis=-1), TINY)
        middle = np.sum(weight * mean, axis=-1) / all_of_it
        total = total + np.sum(weight * (mean - middle[..., None]) ** 2, axis=-1)
    return total


def _slope(
    mean: Floats, known: Floats, arms: Sequence[Bits], own: Own, freedom: Floats
) -> tuple[Floats, Floats]:
    """Slope of devices' means on their own past, within arms, and the freedom that it costs."""
    rest = known + own.unknown
    spread = between(mean - own.effect, rest, arms, freedom)
    below = np.maximum(rest + spread[..., None], TINY)
    information = np.zeros(freedom.shape)
    found = np.zeros(freedom.shape)
    for arm in arms:
        weight = arm / below
        all_of_it = np.maximum(np.sum(weight, axis=-1, keepdims=True), TINY)
        x = own.effect - np.sum(weight * own.effect, axis=-1, keepdims=True) / all_of_it
        information = information + np.sum(weight * x * x, axis=-1)
        found = found + np.sum(weight * x * mean, axis=-1)
    slope = (found + PERSISTENCE) / (information + PERSISTENCE)
    return slope, information / (information + PERSISTENCE)
