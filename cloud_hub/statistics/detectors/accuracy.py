"""Accuracy below a limit, from late labels: an e-detector that bets on devices. Pure.

Labels come in batches, one of each device in a window. A bet of size ``b`` on "below" multiplies
its evidence by ``1 + b w (limit - accuracy)`` of each batch, where ``w`` is the device's weight:
its labels, at most :data:`MULTIPLE` times the median device's, as a share of the heaviest's. While
the weighted accuracy of the devices is at least the limit, no such bet gains on average, however
much labels are correlated within a device and however devices differ: a product of means is at most
its value where all are alike. So a batch of a thousand labels that hang together counts once.

The detector of Shiryaev and Roberts begins a bet at every moment and adds them up:

    R = (R + seconds since the last batch) * product over devices

Its mean at any moment is at most the seconds that it has run, so the mean time to a false alarm is
at least the level at which it alarms, in seconds, and the chance of one within a time is at most
that time over the level. Several sizes of bets are averaged: small ones for many small batches,
large ones for few that are far below.

Assumes that, given everything before, the devices that report in a window are drawn regardless of
how good they are, and answer independently of each other. A day on which the whole fleet is worse
*is* a lower accuracy, and is found. Where labels of wrong answers come sooner, they look worse
than they are until the others have come.

Sources: J. Shin, A. Ramdas, A. Rinaldo, "E-detectors: a nonparametric framework for sequential
change detection", New England Journal of Statistics in Data Science 2(2), 2024; I. Waudby-Smith,
A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.influence import MULTIPLE
from cloud_hub.statistics.samples import Floats

BETS: Final = (0.01, 0.03, 0.1, 0.3, 0.9)
"""Sizes of bets, as shares of the largest that no batch can ruin."""

NEAREST: Final = 1e-3
"""A limit of 1 would allow bets without bound; it is treated as this far below."""

LARGEST: Final = 600.0
"""Logarithm at which evidence stops growing, far beyond any alarm."""

NONE: Final = (0.0,) * len(BETS)
"""Evidence before any label."""


def log_gains(labelled: NDArray[Any], correct: NDArray[Any], limit: float) -> Floats:
    """Return the log of what the evidence of each bet is multiplied by.

    Args:
        labelled: labels of each device in one window, [..., devices]; 0 where it has none.
        correct: those of right answers, of the same shape.
        limit: accuracy, above 0 and up to 1.

    Returns:
        [..., bets].
    """
    n = np.asarray(labelled, dtype=np.float64)
    there = n > 0
    capped = np.minimum(n, MULTIPLE * _median_low(n)[..., None])
    heaviest = np.maximum(capped.max(axis=-1, keepdims=True), 1e-12)
    accuracy = np.divide(correct, n, out=np.zeros_like(n), where=there)
    below = np.where(there, capped / heaviest * (limit - accuracy), 0.0)
    sizes = np.array(BETS) / max(1 - limit, NEAREST)
    return cast(Floats, np.log1p(below[..., None, :] * sizes[:, None]).sum(axis=-1))


def _median_low(n: Floats) -> Floats:
    """Median of the positive numbers along the last axis, the lower of two; 1 without any."""
    ordered = np.sort(np.where(n > 0, n, np.inf), axis=-1)
    count = (n > 0).sum(axis=-1)
    place = np.maximum(0, (count - 1) // 2)
    middle = np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0]
    return np.where(count > 0, middle, 1.0)


def grown(evidence: Floats, seconds: Floats | float, gains: Floats) -> Floats:
    """Return the evidence after a window.

    Args:
        evidence: of each bet, in seconds, [..., bets].
        seconds: since the window before.
        gains: of :func:`log_gains`, [..., bets].
    """
    with np.errstate(divide="ignore"):
        log = np.log(evidence + seconds) + gains
    return cast(Floats, np.exp(np.minimum(log, LARGEST)))


def add(
    evidence: Sequence[float], seconds: float, batches: Sequence[tuple[int, int]], limit: float
) -> tuple[float, ...]:
    """Return the evidence of each bet after one window.

    Args:
        evidence: of each bet before, :data:`NONE` at the beginning.
        seconds: since the window before; a clock that went back counts as no time.
        batches: (labelled, correct) of each device.
        limit: accuracy, above 0 and up to 1.
    """
    told = [(n, right) for n, right in batches if n > 0]
    if not told:
        return tuple(evidence)
    labelled, correct = (np.array(column, dtype=np.float64) for column in zip(*told, strict=True))
    before = np.array(evidence, dtype=np.float64)
    after = grown(before, max(0.0, seconds), log_gains(labelled, correct, limit))
    return tuple(after.tolist())


def strength(evidence: Sequence[float]) -> float:
    """Return the evidence of all bets: alarm where it reaches the mean time to a false alarm."""
    return sum(evidence) / len(evidence)
