"""Latency histograms: logarithmic bins, so that they add up and keep their percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.window import LATENCY_BINS


def latency_bins(nanoseconds: NDArray[Any]) -> NDArray[np.int64]:
    """The bin of each latency, in the layout of :data:`LATENCY_BINS`."""
    microseconds = np.maximum(np.asarray(nanoseconds, dtype=np.float64) / 1e3, 1.0)
    bins: NDArray[np.int64] = np.floor(4 * np.log2(microseconds)).astype(np.int64)
    return np.minimum(bins, LATENCY_BINS - 1)


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Upper edge in µs of the bin that holds the ``share`` quantile; ``None`` if empty."""
    total = sum(counts)
    if total == 0:
        return None
    reached = np.cumsum(counts)
    bin_ = int(np.searchsorted(reached, share * total, side="left"))
    return float(2 ** ((min(bin_, LATENCY_BINS - 1) + 1) / 4))
