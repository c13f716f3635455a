"""Thresholds in float32 that route every float32 value as the original thresholds do.

float32 numbers are ordered as integers are (:func:`ordinals`), so "the next one below" is a
subtraction, and an interval of values is a pair of integers.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LOWEST: Final = -0x7F800000
HIGHEST: Final = 0x7F800000
"""The ordinals of the two infinities."""


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


def below(thresholds: NDArray[Any]) -> NDArray[np.float32]:
    """Return ``t'`` such that ``x <= t'`` equals ``x < t`` for every float32 ``x``."""
    exact = np.asarray(thresholds, np.float64)
    floor = at_most(exact)
    return from_ordinals(np.where(floor == exact, ordinals(floor) - 1, ordinals(floor)))


def ordinals(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return integers in the order of the numbers, one apart for neighbours; both zeros are 0."""
    # The bits of a float32 are sign and magnitude; as such they grow with the magnitude.
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def from_ordinals(ordinal: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the numbers with these ordinals."""
    bits = np.where(ordinal < 0, -ordinal | 0x80000000, ordinal).astype(np.uint32)
    return bits.view(np.float32)
