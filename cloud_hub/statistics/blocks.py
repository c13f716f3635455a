"""Intervals of paired means over time: what came together in time counts together.

Rows of one day resemble each other, so a day, not a row, is what is drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

FEWEST: Final = 8
"""Blocks below which no interval is given."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; without enough blocks the interval is everything."""

    mean: float
    low: float
    high: float
    rows: int
    blocks: int


def block_mean(values: NDArray[np.float64], blocks: NDArray[np.int64], alpha: float) -> Estimate:
    """Mean of ``values`` [N] with a (1 - alpha) interval over ``blocks`` [N] (a name for each row).

    The ratio of block sums with its linearised variance and Student's quantile, as for clusters.

    Source: W. Cochran, "Sampling Techniques", 3rd edition, 1977, chapter 6.
    """
    n = len(values)
    if n == 0:
        return Estimate(float("nan"), -np.inf, np.inf, 0, 0)
    mean = float(values.mean())
    _, index = np.unique(blocks, return_inverse=True)
    count = int(index.max()) + 1
    if count < FEWEST:
        return Estimate(mean, -np.inf, np.inf, n, count)
    residuals = np.bincount(index, weights=values - mean)
    error = float(np.sqrt(count / (count - 1) * (residuals**2).sum())) / n
    half = float(student.ppf(1 - alpha / 2, count - 1)) * error
    return Estimate(mean, mean - half, mean + half, n, count)
