"""Intervals of paired means over time: what came together in time counts together.

Rows of one day resemble each other, so a day, not a row, is what is drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import student

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
    """Mean of values that come in blocks of time, with Student's interval over the blocks.

    Rows that come together resemble each other, so the blocks are what is counted: the variance is
    that of the blocks' residual sums about the mean (a ratio estimator). Assumes that blocks are
    longer than what rows have in common, and about as many rows in each.

    Args:
        values: one a row, [N].
        blocks: number of the block of each row, [N].
        alpha: chance that the interval misses.
    """
    n = len(values)
    if n == 0:
        return Estimate(float("nan"), -np.inf, np.inf, 0, 0)
    mean = float(values.mean())
    _, index = np.unique(blocks, return_inverse=True)
    count = int(index.max()) + 1
    if count < FEWEST:
        return Estimate(mean, -np.inf, np.inf, n, count)
    # Within a block residuals add up before they are squared: that keeps what rows have in common.
    residuals = np.bincount(index, weights=values - mean)
    error = float(np.sqrt(count / (count - 1) * (residuals**2).sum())) / n
    half = float(student.ppf(1 - alpha / 2, count - 1)) * error
    return Estimate(mean, mean - half, mean + half, n, count)
