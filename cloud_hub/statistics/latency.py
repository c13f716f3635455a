"""Quantiles of latency of two arms, from log-binned histograms, at any look.

A quantile's confidence sequence is found by inverting a test: of all bin edges, those where the
share of requests below may be ``q``. Each share is a mean over devices, so requests of one device
count as alike as they are. Only the edge at the true quantile has to be covered, so no price is
paid for looking at all of them.

Source:
    S. Howard, A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
    best-arm identification", Bernoulli 28(3), 2022 (quantiles by inversion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_hub.statistics.clustered import Contrast, Floats, Sample, mean_against
from cloud_hub.statistics.sequential import TUNED_FOR, interval

BINS_AN_OCTAVE: Final = 4
"""As in the contract: bin ``i`` ends at ``2 ** ((i + 1) / 4)`` microseconds."""


@dataclass(frozen=True)
class Quantile:
    """A quantile in microseconds: its bin's upper edge, and between which edges it surely is."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LatencyVerdict:
    """Both arms' quantile and the ratio candidate / control, ``low`` to ``high`` at every look."""

    q: float
    control: Quantile
    candidate: Quantile
    low: float
    high: float


def compare_latency(
    control: Floats, candidate: Floats, q: float, alpha: float = 0.05, tuned_for: float = TUNED_FOR
) -> LatencyVerdict:
    """Compare a quantile of two arms.

    Args:
        control: histograms by device, [D, bins].
        candidate: the same of other devices, or of the same ones on the other arm, [E, bins].
        q: such as 0.5 or 0.99.
        alpha: chance that either interval ever misses.
        tuned_for: sample size at which the sequences are tightest.
    """
    a = quantile(control, q, alpha / 2, tuned_for)
    b = quantile(candidate, q, alpha / 2, tuned_for)
    low = b.low / a.high if a.high > 0 else 0.0
    high = b.high / a.low if a.low > 0 else np.inf
    return LatencyVerdict(q, a, b, low, high)


def quantile(
    histograms: Floats, q: float, alpha: float = 0.05, tuned_for: float = TUNED_FOR
) -> Quantile:
    """A quantile of one arm with its confidence sequence; 0 to infinity without data.

    Args:
        histograms: by device, [D, bins].
        q: such as 0.5 or 0.99.
        alpha: chance that the interval ever misses.
        tuned_for: sample size at which it is tightest.
    """
    counts = np.asarray(histograms, dtype=np.float64)
    if counts.sum() == 0:
        return Quantile(np.nan, 0.0, np.inf)
    below = np.cumsum(counts, axis=1)
    share = below.sum(axis=0) / counts.sum()
    low, high = interval(_against(below, counts, q), alpha, tuned_for)
    edges = 2.0 ** (np.arange(1, counts.shape[1] + 1) / BINS_AN_OCTAVE)
    # Below the first edge that may hold q it cannot be; the last that may is as far as it goes.
    first = int(np.argmax(high >= 0)) if bool(np.any(high >= 0)) else len(edges) - 1
    surely = np.flatnonzero(low > 0)
    last = float(edges[surely[0]]) if len(surely) else np.inf
    value = float(edges[min(int(np.searchsorted(share, q)), len(edges) - 1)])
    return Quantile(value, float(edges[first - 1]) if first else 0.0, last)


def _against(below: Floats, counts: Floats, q: float) -> Contrast:
    """The share below each edge less ``q``."""
    n = np.broadcast_to(counts.sum(axis=1), (counts.shape[1], len(counts)))
    return mean_against(Sample.of_successes(below.T, n), q)
