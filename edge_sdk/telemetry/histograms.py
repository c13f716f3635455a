"""Histogram binning: from values to counts in the bins of the reference profile, vectorised.

The converters make the reference profile with the same functions, so a value falls into the same
bin at training and on every device.
"""

from __future__ import annotations

import functools
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
    """

    def __init__(self, flat: NDArray[np.int64], sizes: Sequence[int]) -> None:
        self.flat = flat
        self.sizes = tuple(sizes)

    @functools.cached_property
    def each(self) -> list[NDArray[np.int64]]:
        """One view of ``flat`` for each histogram."""
        firsts, ends = _bounds(self.sizes)
        return [self.flat[first:end] for first, end in zip(firsts, ends, strict=True)]

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
        if 0 in self.sizes:
            return observations == 0 and not self.flat.any()
        sums = np.add.reduceat(self.flat, _bounds(self.sizes)[0]) if self.sizes else self.flat[:0]
        return bool((sums == observations).all())

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return iter(self.each)


@functools.lru_cache(maxsize=256)
def _bounds(sizes: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return where each histogram begins in the counts of all, and where it ends."""
    ends = tuple(itertools.accumulate(sizes))
    return tuple(end - size for size, end in zip(sizes, ends, strict=True)), ends


class Bins:
    """The bins of several features, prepared for counting many batches."""

    def __init__(self, features: Sequence[FeatureProfile]) -> None:
        self._features = features
        self._edges = [None if f.edges is None else _prepared(f.edges) for f in features]
        numbers = [edges for edges in self._edges if edges is not None]
        self._all_numbers = numbers if numbers and len(numbers) == len(features) else None
        self._few = _Few(numbers) if self._all_numbers else None
        self._many: dict[str, _Many] = {}

    def add(self, columns: NDArray[Any] | Sequence[Any], counts: HistogramCounts) -> None:
        """Add :func:`histogram` of each feature; ``columns`` holds one sequence of values for each.

        Columns of one float matrix are counted together.
        """
        if (
            isinstance(columns, np.ndarray) and columns.dtype.kind == "f"
            and self._few is not None and self._all_numbers is not None
        ):  # fmt: skip
            if len(columns[0]) <= FEW:
                np.add.at(counts.flat, self._few.places(np.asarray(columns, np.float64)), 1)
            else:
                counts.flat += self._many_of(self._all_numbers, columns).counts(columns)
            return
        for feature, edges, values, place in zip(
            self._features, self._edges, columns, counts.each, strict=True
        ):
            if edges is None:
                place += _categorical(feature, values)
            else:
                place += _sorted(edges, np.sort(np.asarray(values, np.float64)))

    def _many_of(self, numbers: list[NDArray[np.float64]], columns: NDArray[Any]) -> _Many:
        """Return the edges as columns of that dtype are counted between them."""
        name = columns.dtype.name
        if name not in self._many:
            self._many[name] = _Many(numbers, columns.dtype)
        return self._many[name]


class _Many:
    """Counts many rows of all features at once.

    The values of each are sorted: to count what lies between two edges then takes a third of the
    time that it takes to find the bin of each. They stay in their dtype. So do the edges, rounded
    up: a value is below an edge if, and only if, it is below the smallest number of its own dtype
    that is not.

    Args:
        edges: those of :func:`_prepared`, one array for each feature.
        dtype: of the values.
    """

    def __init__(self, edges: Sequence[NDArray[np.float64]], dtype: np.dtype[Any]) -> None:
        self._edges = [_at_least(of_one, dtype) for of_one in edges]
        for of_one, rounded in zip(edges, self._edges, strict=True):
            # The last bin is closed: what is counted there is below the number after its edge.
            rounded[-2] = _above(of_one[-2], dtype)
        lengths = np.array([len(of_one) for of_one in edges])
        self._firsts = np.cumsum(lengths) - lengths
        # Where the numbers of a feature end. A histogram has as many counts as there are edges.
        self._ends = self._firsts + lengths - 1

    def counts(self, columns: NDArray[Any]) -> NDArray[np.int64]:
        """Return the counts of ``columns`` [features, rows], one histogram after the other."""
        ordered = np.array(columns, order="C")  # rows of columns: sorting a view takes three times
        ordered.sort()
        pairs = zip(ordered, self._edges, strict=True)
        below = np.concatenate([values.searchsorted(edges) for values, edges in pairs])
        counts = np.empty(len(below), np.int64)
        counts[:-1] = below[1:] - below[:-1]
        inside, numbers = below[self._ends - 1], below[self._ends]
        counts[self._ends + 1 + MISSING] = ordered.shape[1] - numbers
        counts[self._ends + 1 + OUTSIDE] = below[self._firsts] + numbers - inside
        return counts


def _at_least(numbers: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the smallest numbers of ``dtype`` that are not below ``numbers``."""
    with np.errstate(over="ignore"):
        rounded = numbers.astype(dtype)
        above = np.nextafter(rounded, dtype.type(np.inf))
    return np.where(rounded.astype(np.float64) < numbers, above, rounded)


def _above(number: np.float64, dtype: np.dtype[Any]) -> Any:
    """Return the smallest number of ``dtype`` that is above ``number``."""
    (rounded,) = _at_least(np.array([number]), dtype)
    if float(rounded) > float(number):
        return rounded
    with np.errstate(over="ignore"):  # above the largest one is infinity
        return np.nextafter(rounded, dtype.type(np.inf))


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
