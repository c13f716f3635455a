"""Gaussian noise that hides one unit in a sum, and what it costs over generations. Pure.

The standard deviation is the smallest that gives (ε, δ) for a vector of length 1 at most: the
analytic Gaussian mechanism (B. Balle, Y.-X. Wang, Improving the Gaussian mechanism for differential
privacy, ICML 2018, theorem 8). Reports of several generations about one unit are together one such
mechanism, whose 1/σ² is the sum of theirs (J. Dong, A. Roth, W. Su, Gaussian differential privacy,
JRSS B 84, 2022, corollary 3.3); so the ε of all of them is exact, not a bound.

Low bits of floating-point noise can give away what it hides (I. Mironov, On significance of the
least significant bits for differential privacy, CCS 2012). Here numbers are whole multiples of a
grid and the noise is rounded to it: what leaves the device is a rounding of the exact sum, and has
no low bits.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

TOTAL_EPSILON: Final = 8.0
"""ε of all reports of one model about one unit at most, whatever policies say over the years."""

GRID: Final = 2.0**-10
"""Of the standard deviation of the noise on a number."""

_LARGEST: Final = 50.0
_STEPS: Final = 100


def delta_of(epsilon: float, mu: float) -> float:
    """Return the δ that noise gives with an ε.

    Args:
        epsilon: above 0.
        mu: length of the longest vector over the standard deviation, above 0.
    """
    half, ratio = mu / 2, epsilon / mu
    # exp(ε) times a tail so small that it is 0: the product would be no number.
    tail = _below(-half - ratio)
    return _below(half - ratio) - (math.exp(epsilon) * tail if tail else 0.0)


def multiplier_of(epsilon: float, delta: float) -> float:
    """Return the smallest standard deviation that gives (ε, δ) for a vector of length 1.

    Args:
        epsilon: above 0.
        delta: above 0, below 1.
    """
    low, high = 0.0, _LARGEST
    for _ in range(_STEPS):
        mu = (low + high) / 2
        low, high = (mu, high) if delta_of(epsilon, mu) <= delta else (low, mu)
    return 1 / low


def affordable(spent: float, multiplier: float, delta: float) -> bool:
    """Return whether one report more keeps all of them within :data:`TOTAL_EPSILON`.

    Args:
        spent: sum of 1/σ² of the reports so far.
        multiplier: σ of the next one.
        delta: of all of them together.
    """
    return delta_of(TOTAL_EPSILON, math.sqrt(spent + multiplier**-2)) <= delta


def on_grid(numbers: Numbers, deviations: Numbers) -> Numbers:
    """Return numbers as whole multiples of the grid, none farther from 0 than before."""
    step = deviations * GRID
    rounded: Numbers = np.trunc(numbers / step)
    return rounded


def with_noise(
    counts: Numbers, deviations: Numbers, gauss: Callable[[float, float], float] | None = None
) -> Numbers:
    """Return sums with noise.

    Args:
        counts: sums of whole multiples of the grid, from :func:`on_grid`.
        deviations: standard deviation of the noise on each.
        gauss: gives normal numbers of (mean, deviation); by default of the system's randomness,
            which nobody can foretell or repeat.
    """
    draw = gauss or random.SystemRandom().gauss
    noise = np.array([round(draw(0.0, 1.0 / GRID)) for _ in range(len(counts))], np.float64)
    return (counts + noise) * deviations * GRID


def _below(z: float) -> float:
    """Chance of a standard normal number below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2))
