"""Histogram binning: from values to counts in the bins of the reference profile, vectorised.

The converters make the reference profile with the same functions, so a value falls into the same
bin at training and on every device.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.histograms import MISSING, OUTSIDE
from edge_sdk.model.values import category, is_missing

if TYPE_CHECKING:
    from edge_sdk.contract.profile import FeatureProfile

FEW: Final = 8
"""Rows up to which all features are counted in one step."""


class HistogramCounts:
    """Histograms of several features, as they are counted, sent, stored and added up.

    Attributes:
        flat: counts of all, one histogram after the other.
        sizes: how many counts each histogram has.
        each: one view of ``flat`` for each histogram.
    """

    def __init__(self, flat: NDArray[np.int64], sizes: Sequence[int]) -> None:
        self.flat = flat
        self.sizes = tuple(sizes)
        ends = list(itertools.accumulate(self.sizes))
        self.each = [flat[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]

    @classmethod
    def zeros(cls, features: Sequence[FeatureProfile]) -> HistogramCounts:
        """All zero, in the layout of ``features``."""
        sizes = [feature.bins + 2 for feature in features]
        return cls(np.zeros(sum(sizes), np.int64), sizes)

    def add(self, other: HistogramCounts) -> None:
        """Add the counts of ``other``, bin by bin.

        Raises:
            ValueError: it has another layout.
        """
        if other.sizes != self.sizes:
            raise ValueError(f"expected histograms of {self.sizes} counts, got {other.sizes}")
        self.flat += other.flat

    def add_up_to(self, observations: int) -> bool:
        """Return whether every histogram counts ``observations`` values."""
        # No count may be above the sum: sums of larger ones wrap around at 64 bits.
        if self.flat.size and int(self.flat.max()) > observations:
            return False
        return all(int(counts.sum()) == observations for counts in self.each)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return iter(self.each)


class Bins:
    """The bins of several features, prepared for counting many batches."""

    def __init__(self, features: Sequence[FeatureProfile]) -> None:
        self._features = features
        self._edges = [None if f.edges is None else _prepared(f.edges) for f in features]
        numbers = [edges for edges in self._edges if edges is not None]
        self._few = _Few(numbers) if numbers and len(numbers) == len(features) else None

    def add(self, columns: NDArray[Any] | Sequence[Any], counts: HistogramCounts) -> None:
        """Add :func:`histogram` of each feature; ``columns`` holds one sequence of values for each.

        Columns of one float matrix are sorted together: counting what lies between two edges of
        sorted values takes a third of the time that finding the bin of each takes.
        """
        together = isinstance(columns, np.ndarray) and columns.dtype.kind == "f"
        if together and self._few is not None and len(columns[0]) <= FEW:
            np.add.at(counts.flat, self._few.places(np.asarray(columns, np.float64)), 1)
            return
        ordered = np.sort(columns) if together else columns
        for feature, edges, raw, values, place in zip(
            self._features, self._edges, columns, ordered, counts.each, strict=True
        ):
            if edges is None:
                place += _categorical(feature, raw)
            else:
                numbers = np.asarray(values, np.float64)
                place += _sorted(edges, numbers if together else np.sort(numbers))


class _Few:
    """Finds the bins of a few rows in one step for all features; sorting each would cost more.

    ``edges`` are those of :func:`_prepared`, one array for each feature.
    """

    def __init__(self, edges: Sequence[NDArray[np.float64]]) -> None:
        counts = np.array([len(of_one) - 1 for of_one in edges])
        self._edges = np.full((len(edges), counts.max(), 1), np.inf)
        for row, of_one, count in zip(self._edges, edges, counts, strict=True):
            row[:count, 0] = of_one[:-1]
        self._bins = (counts - 1)[:, None]
        self._last = np.array([of_one[-2] for of_one in edges])[:, None]
        self._starts = np.cumsum([0, *(counts[:-1] + 1)])[:, None]

    def places(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the place in :attr:`HistogramCounts.flat` of ``values`` [features, rows]."""
        below = (self._edges <= values[:, None]).sum(axis=1)
        bins = np.minimum(below, self._bins) - 1  # the last bin is closed at its upper edge
        outside = (below == 0) | (values > self._last)
        bins = np.where(outside, self._bins + 2 + OUTSIDE, bins)
        # Last, because NaN is in no bin and below no edge: it looked like outside.
        bins = np.where(np.isnan(values), self._bins + 2 + MISSING, bins)
        places: NDArray[np.int64] = (bins + self._starts).ravel()
        return places


def histogram(feature: FeatureProfile, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Return the counts [bins + 2] of ``values``: the bins, then missing, then outside."""
    if feature.edges is not None:
        return _sorted(_prepared(feature.edges), np.sort(np.asarray(values, dtype=np.float64)))
    return _categorical(feature, values)


def _prepared(edges: Sequence[float]) -> NDArray[np.float64]:
    """The edges, a lone one twice, and NaN: where that would go the numbers end."""
    return np.array((*edges, *edges[: len(edges) == 1], np.nan))


def _sorted(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Counts of sorted ``values``, NaN last; bins are half-open, the last one is closed."""
    below = values.searchsorted(edges)
    below[-2] = values.searchsorted(edges[-2], side="right")
    first, inside, numbers = below[0], below[-2], below[-1]
    counts = np.empty(len(edges), dtype=np.int64)
    counts[:-2] = below[1:-1] - below[:-2]
    counts[MISSING] = len(values) - numbers
    counts[OUTSIDE] = first + numbers - inside
    return counts


def _categorical(
    feature: FeatureProfile, values: Sequence[Any] | NDArray[Any]
) -> NDArray[np.int64]:
    assert feature.categories is not None
    bins = feature.bins
    places = {category: i for i, category in enumerate(feature.categories)}
    counts = np.zeros(bins + 2, dtype=np.int64)
    plain = values.tolist() if isinstance(values, np.ndarray) else values
    for value, times in Counter(plain).items():  # few different values: one look-up for each
        place = MISSING if is_missing(value) else places.get(category(value), OUTSIDE)
        counts[place] += times
    return counts
