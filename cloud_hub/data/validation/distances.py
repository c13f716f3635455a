"""Distances between counts in the same bins, and how large chance makes them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIGMAS = 5.0
ENOUGH = 20.0
"""Rows that a bin is expected to have, to be compared by itself: many bins of few rows show less
than few bins of many.
"""

FLOOR = 0.5
"""Rows that every bin has at least: the logarithm of nothing is none."""


def stability_index(
    before: Sequence[int], after: Sequence[int], *, ordered: bool = True
) -> tuple[float, float]:
    """Return the population stability index of two counts, and what chance alone may make of it.

    Under no change its expectation is (bins - 1)(1/n + 1/m), with a standard deviation of
    sqrt(2 (bins - 1)) (1/n + 1/m). That holds for bins of several rows, so smaller ones are put
    together: neighbours where bins have an order, else all small ones with the last bin, which is
    that of all other values.

    Args:
        before: rows in each bin.
        after: rows in the same bins.
        ordered: False where bins are values without an order, such as texts.
    """
    old, new = _array(before), _array(after)
    if not old.sum() or not new.sum():
        return 0.0, 0.0
    expected = old / old.sum() * min(old.sum(), new.sum())
    places = _pooled(expected) if ordered else _small_as_others(expected)
    old, new = (np.bincount(places, each).astype(np.float64) for each in (old, new))
    used = (old + new) > 0
    old, new = np.maximum(old[used], FLOOR), np.maximum(new[used], FLOOR)
    if len(old) < 2:
        return 0.0, 0.0
    p, q = old / old.sum(), new / new.sum()
    index = float(((p - q) * np.log(p / q)).sum())
    noise = 1 / old.sum() + 1 / new.sum()
    bins = len(old) - 1
    return index, noise * (bins + SIGMAS * math.sqrt(2 * bins))


def _pooled(expected: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the group of each bin: neighbours that together have enough rows."""
    places, place, rows = [], 0, 0.0
    for count in expected.tolist():
        if rows >= ENOUGH:
            place, rows = place + 1, 0.0
        places.append(place)
        rows += count
    groups = np.array(places)
    if rows < ENOUGH and place:  # what is left at the end goes with its neighbour
        groups[groups == place] = place - 1
    return groups


def _small_as_others(expected: NDArray[np.float64]) -> NDArray[np.int64]:
    enough = expected >= ENOUGH
    return np.where(enough, np.arange(len(expected)), len(expected) - 1)


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
