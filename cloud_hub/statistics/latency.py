"""Quantiles of latency of two arms, and how many times longer the one is, at any look.

A quantile is where a share ``q`` of the requests is below, so a pair of quantiles is held against
three shares: that below the control's, that below the candidate's, and the difference of the two,
which is 0 at the true pair. Each share is a mean over devices, so requests of one device count as
alike as they are. Only the true pair has to be covered, so no price is paid for looking at all of
them; and the difference excludes many that either quantile alone would leave.

Source:
    S. Howard, A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
    best-arm identification", Bernoulli 28(3), 2022 (quantiles and their differences by inversion;
    here with confidence sequences of shares by device in place of those of independent requests).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.samples import Contrast, Floats, Sample
from cloud_hub.statistics.sequential import interval
from cloud_hub.statistics.stratified import mean_of_pairs, separate_difference

BINS_AN_OCTAVE: Final = 4
"""As in the contract: bin ``i`` ends at ``2 ** ((i + 1) / 4)`` microseconds."""

TUNED_FOR: Final = 500
"""Independent requests an arm at which intervals are tightest: devices differ in how fast they are,
so that thousands of requests are worth a few hundred."""

OF_THE_DIFFERENCE: Final = 0.5
"""Part of the error that the difference of shares has; the arms' own have a quarter each."""


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

    Of all pairs of bins those are left in which the quantiles may be: a pair goes when a share that
    would have to be ``q`` or above surely is below, or the other way round. The ratio lies between
    the least and the largest of the pairs that are left.

    Assumes that devices are independent; of one that is on both arms, in a test by key, what both
    have in common is not used. Coarse to a bin of either arm, 19% each; few devices leave all pairs
    in, and far quantiles need many requests.

    Args:
        control: histograms by device, [D, bins].
        candidate: the same of other devices, or of the same ones on the other arm, [E, bins].
        q: such as 0.5 or 0.99.
        alpha: chance that the interval of the ratio ever misses.
        tuned_for: sample size at which the sequences are tightest.
    """
    alone = alpha * (1 - OF_THE_DIFFERENCE) / 2
    arms = [_Shares(np.asarray(arm, np.float64)) for arm in (control, candidate)]
    a, b = (np.flatnonzero(arm.possible(q, alone, tuned_for)) for arm in arms)
    quantiles = [arm.quantile(q, alpha / 2, tuned_for) for arm in arms]
    left = _pairs(arms[0], arms[1], a, b, alpha * OF_THE_DIFFERENCE, tuned_for)
    edges = arms[0].edges
    # An arm's quantile is above its bin's lower edge and at most its upper one.
    with np.errstate(divide="ignore"):
        low = (edges[b][None, :] / edges[a + 1][:, None])[left].min(initial=np.inf)
        high = (edges[b + 1][None, :] / edges[a][:, None])[left].max(initial=0.0)
    if not left.any():  # nothing fits: the sequences missed, which they may with chance alpha
        low, high = 0.0, np.inf
    return LatencyVerdict(q, quantiles[0], quantiles[1], float(low), float(high))


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
    return _Shares(np.asarray(histograms, np.float64)).quantile(q, alpha, tuned_for)


class _Shares:
    """Shares of requests below each edge of one arm, by device.

    ``edges`` are [bins + 1] with the lower end, 0, and the upper, infinity, of what is measured.
    """

    def __init__(self, counts: Floats) -> None:
        bins = counts.shape[1]
        self.below = np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1).T
        self.n = np.broadcast_to(counts.sum(axis=1), self.below.shape)
        self.edges = 2.0 ** (np.arange(bins + 1) / BINS_AN_OCTAVE)
        self.edges[[0, -1]] = 0.0, np.inf
        self.empty = not counts.sum()

    def contrast(self, q: float) -> Contrast:
        """Share below each edge less ``q``, [bins + 1]."""
        away = self.below - q * self.n
        squares = self.below * (1 - 2 * q) + q**2 * self.n
        return mean_of_pairs(Sample(self.n[:, None], away[:, None], squares[:, None]))

    def possible(self, q: float, alpha: float, tuned_for: float) -> NDArray[np.bool_]:
        """Return the bins in which the quantile may be, [bins]."""
        low, high = interval(self.contrast(q), alpha, tuned_for)
        may_be_above, may_be_below = low < 0, high >= 0
        # Below the first edge nothing is, and below the last is everything.
        may_be_above[0], may_be_below[-1] = True, True
        possible: NDArray[np.bool_] = may_be_above[:-1] & may_be_below[1:]
        return possible

    def quantile(self, q: float, alpha: float, tuned_for: float) -> Quantile:
        """The bin that has it, and the outer edges of those that may."""
        if self.empty:
            return Quantile(np.nan, 0.0, np.inf)
        share = self.below.sum(axis=1) / self.n[0].sum()
        place = int(np.searchsorted(share[1:], q))
        finite = min(place + 1, len(self.edges) - 2)
        possible = np.flatnonzero(self.possible(q, alpha, tuned_for))
        ends = (possible[0], possible[-1] + 1) if len(possible) else (0, -1)
        return Quantile(
            float(self.edges[finite]), float(self.edges[ends[0]]), float(self.edges[ends[1]])
        )


def _pairs(
    control: _Shares,
    candidate: _Shares,
    a: NDArray[np.intp],
    b: NDArray[np.intp],
    alpha: float,
    tuned_for: float,
) -> NDArray[np.bool_]:
    """Return which pairs of bins the difference of shares leaves in, [len(a), len(b)].

    In the true pair at most ``q`` is below the lower edge of the one and at least ``q`` below the
    upper edge of the other.
    """
    mine, theirs = control.contrast(0.0), candidate.contrast(0.0)
    beyond = separate_difference(_at(mine, a, 1), _at(theirs, b + 1, 0))
    within = separate_difference(_at(mine, a + 1, 1), _at(theirs, b, 0))
    _, high = interval(beyond, alpha, tuned_for)
    low, _ = interval(within, alpha, tuned_for)
    left: NDArray[np.bool_] = (high >= 0) & (low <= 0)
    return left


def _at(contrast: Contrast, edges: NDArray[np.intp], axis: int) -> Contrast:
    """Some edges, along the rows or the columns of a table of pairs."""
    names = ("estimate", "variance", "n", "freedom")
    return Contrast(*(np.expand_dims(getattr(contrast, name)[edges], axis) for name in names))
