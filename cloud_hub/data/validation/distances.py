"""Distances between counts in the same bins, and how large chance makes them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIGMAS = 5.0
FLOOR = 0.5
"""Rows that every bin has at least: the logarithm of nothing is none."""


def stability_index(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """Return the population stability index of two counts, and what chance alone may make of it.

    Under no change its expectation is (bins - 1)(1/n + 1/m), with a standard deviation of
    sqrt(2 (bins - 1)) (1/n + 1/m).
    """
    old, new = _array(before), _array(after)
    used = (old + new) > 0
    old, new = np.maximum(old[used], FLOOR), np.maximum(new[used], FLOOR)
    if len(old) < 2:
        return 0.0, 0.0
    p, q = old / old.sum(), new / new.sum()
    index = float(((p - q) * np.log(p / q)).sum())
    noise = 1 / old.sum() + 1 / new.sum()
    bins = len(old) - 1
    return index, noise * (bins + SIGMAS * math.sqrt(2 * bins))


def variation(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """Return the share of rows that moved to another bin, and what chance alone may move."""
    old, new = _array(before), _array(after)
    if not old.sum() or not new.sum():
        return 0.0, 0.0
    p, q = old / old.sum(), new / new.sum()
    noise = 1 / old.sum() + 1 / new.sum()
    return float(np.abs(p - q).sum() / 2), math.sqrt(max(1, len(p) - 1) * noise)


def _array(counts: Sequence[int]) -> NDArray[np.float64]:
    return np.asarray(counts, dtype=np.float64)
