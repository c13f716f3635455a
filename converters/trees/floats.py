"""Thresholds that route values as the original thresholds do.

Floats are ordered as integers are (:func:`ordinals`), so "the next one below" is a subtraction, and
an interval of values is a pair of integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rounding = Callable[[NDArray[Any]], NDArray[Any]]
"""From float64 thresholds to those of the file: :func:`at_most`, :func:`nearest`, :func:`exact`."""


def floor_float32(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest float32 numbers that are not above ``values``; infinities stay."""
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > values, below, nearest).astype(np.float64)


def at_most(thresholds: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``t'`` such that ``x <= t'`` equals ``x <= t`` for every float32 ``x``."""
    # Rounded down: the nearest float32 may lie above t, and would let a value between pass.
    return floor_float32(np.asarray(thresholds, np.float64)).astype(np.float32)


def nearest(thresholds: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``t'`` such that ``x' <= t'`` if ``x <= t``, for ``x'`` the float32 nearest to ``x``.

    A float64 ``x`` that equals its threshold still does when both are rounded alike. An ``x`` above
    it that rounds to the same float32 goes the wrong way: for such rows there is :func:`exact`.
    """
    with np.errstate(over="ignore"):
        return np.asarray(thresholds, np.float64).astype(np.float32)


def exact(thresholds: NDArray[Any]) -> NDArray[np.float64]:
    """Return the thresholds as they are, for values in float64."""
    return np.asarray(thresholds, np.float64)


def below(thresholds: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``t'`` such that ``x <= t'`` equals ``x < t`` for every float32 ``x``."""
    exact = np.asarray(thresholds, np.float64)
    floor = at_most(exact)
    return from_ordinals(np.where(floor == exact, ordinals(floor) - 1, ordinals(floor)))


def ordinals(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return integers in the order of float32 or float64 numbers, one apart for neighbours.

    Both zeros are 0.
    """
    # The bits of a float are sign and magnitude; as such they grow with the magnitude.
    wide = np.asarray(values).dtype == np.float64
    whole, size = (np.int64, 0x7FFFFFFFFFFFFFFF) if wide else (np.int32, 0x7FFFFFFF)
    array = np.ascontiguousarray(values, np.float64 if wide else np.float32)
    bits = array.view(whole).astype(np.int64)
    return np.where(bits < 0, -(bits & size), bits)


def infinities(dtype: Any) -> tuple[int, int]:
    """Return the ordinals of the two infinities."""
    low, high = ordinals(np.array([-np.inf, np.inf], dtype)).tolist()
    return low, high


def from_ordinals(ordinal: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the numbers with these ordinals."""
    bits = np.where(ordinal < 0, -ordinal | 0x80000000, ordinal).astype(np.uint32)
    return bits.view(np.float32)
