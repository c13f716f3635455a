"""Contrasts: a histogram in a few numbers, each with the variance that independent rows give it.

A scan over many devices looks at few rows of each, too few for 34 bins. So a number is described by
its place and its spread among the training rows, a text by the share of each category, and both by
what is missing and what is outside.

* place and spread: the mean of ridits, the ranks that the bins have at training, -1 to 1. Twice the
  chance that a row of the window is above one of training, less 1. Assumes about as much variance
  as at training.
* shares: Freeman and Tukey's angle, whose variance is one over the rows, whatever the share; for
  rare things its upper tail is too large rather than too small.

Sources: I. Bross, "How to use ridit analysis", Biometrics 14(1), 1958; M. Freeman, J. Tukey,
"Transformations related to the angular and the square root", Annals of Mathematical Statistics
21(4), 1950.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.histograms import MISSING, OUTSIDE

MOVED: Final = 0.2
"""Smallest change of a place or a spread that matters: from 50% of rows above to 60%."""

SHARE: Final = 0.02
"""Smallest change of a share that matters, if it doubled or halved; five times that if not."""


@dataclass(frozen=True)
class Readings:
    """Contrasts of some units (devices, cohorts) in one window, [U, C]: ``values`` to be compared,
    the variance ``noise`` that independent rows give them, and ``plain`` values for people. What a
    unit has no rows for is NaN.
    """

    values: Floats
    noise: Floats
    plain: Floats


def names(bins: int, categories: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the contrasts of a feature, [C].

    Args:
        bins: of its histogram, without missing and outside.
        categories: names of the bins of a text.
    """
    inner = ("place", "spread") if categories is None else tuple(categories)[:bins]
    return (*inner, "missing", "outside")


def readings(reference: Floats, histograms: Floats, *, categorical: bool) -> Readings:
    """Return the contrasts of several histograms.

    Args:
        reference: histogram [bins + 2] at training.
        histograms: [U, bins + 2].
        categorical: the bins are categories, in no order.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = histograms.sum(axis=1, keepdims=True)
        of = histograms if categorical else histograms[:, [MISSING, OUTSIDE]]
        values = np.where(rows > 0, _angle(of, rows), np.nan)
        noise = np.broadcast_to(1 / (rows + 0.5), values.shape)
        plain = of / rows
        if categorical:
            return Readings(values, noise, plain)
        means, variances = _ridits(reference[:-2], histograms[:, :-2])
        return Readings(
            np.hstack([means, values]), np.hstack([variances, noise]), np.hstack([means, plain])
        )


def matters(before: Floats, after: Floats, *, categorical: bool) -> NDArray[np.bool_]:
    """Return which changes are large enough for somebody to look at, [U, C].

    Args:
        before: plain values.
        after: likewise.
        categorical: as in :func:`readings`.
    """
    change = np.abs(after - before)
    times = (after >= 2 * before) | (after <= before / 2)
    large: NDArray[np.bool_] = ((change >= SHARE) & times) | (change >= 5 * SHARE)
    if not categorical:
        large[:, :2] = change[:, :2] >= MOVED
    return large


def _angle(hits: Floats, rows: Floats) -> Floats:
    angle: Floats = np.arcsin(np.sqrt(hits / (rows + 1))) + np.arcsin(
        np.sqrt((hits + 1) / (rows + 1))
    )
    return angle


def _ridits(reference: Floats, inside: Floats) -> tuple[Floats, Floats]:
    """Means of place and spread, [U, 2], and their variances."""
    share = reference / max(1.0, reference.sum())
    place = 2 * np.cumsum(share) - share - 1
    # Spread: ranks of the distance to the middle, 0 on average at training.
    distance = np.abs(place)
    spread = distance - float(share @ distance)
    # Twice as wide, so that a change means as much as one of the place.
    scores = np.stack([place, 2 * spread], axis=1)
    rows = inside.sum(axis=1, keepdims=True)
    variance = share @ scores**2 - (share @ scores) ** 2
    return inside @ scores / rows, variance / rows
