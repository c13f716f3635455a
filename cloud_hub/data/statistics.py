"""Statistics of columns: enough to compare two versions of data without the rows of either. Pure.

Numbers and times are counted between quantiles, texts, booleans and few integers by value. Counts
of another version of the data in the same bins are what every distance needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.columns import NUMBERS, ColumnKind, array_of, kind_of, numbers_of, seconds_of
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.row_hashes import RowScan, scanned
from cloud_hub.deferred.libraries import pa, pc
from edge_sdk.model.values import category

BINS: Final = 32
SAMPLE: Final = 100_000
"""Rows from which quantiles are taken, evenly spaced; counts are of all rows."""

RECURRING: Final = 5
"""Rows that each of few integers has on average, to be counted by value."""

NUMBERED: Final = 50
"""Rows from which on integers that all differ may number them."""

GAPS: Final = 100
"""Times as many numbers as rows that a column which numbers them spans at most."""

BLOCK: Final = 1 << 15
"""Numbers that are compared at once."""

NEARLY_ALL: Final = 0.99
"""Share of the rows from which on a column is as good as constant."""

VALUES: Final = 100
"""Values of a column of texts that are counted by name, the most frequent."""

TEXT_LENGTH: Final = 100
"""Characters of a text that is shown, and by which it is counted."""


@dataclass(frozen=True)
class ColumnStatistics:
    """One column of N rows.

    Attributes:
        name: of the column.
        kind: of its values.
        rows: N.
        missing: rows without a value.
        distinct: number of different values; of numbers those of a sample of the rows.
        minimum: the smallest finite number (times: Unix seconds); ``None`` for texts.
        maximum: the largest finite number.
        mean: of the finite numbers.
        deviation: standard deviation of the finite numbers.
        infinite: numbers that are infinite.
        edges: of bins, ascending; bin ``i`` is ``edges[i] <= x < edges[i + 1]``, the first and last
            one are open. One edge is one value. Empty for texts.
        values: names of values that are counted each, most frequent first.
        counts: rows in each bin; or of each of ``values``, then of all others.
    """

    name: str
    kind: ColumnKind
    rows: int
    missing: int
    distinct: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None
    infinite: int = 0
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def numbered(self) -> bool:
        """Whether it numbers the rows, as an ``id`` does: every value once, with few gaps.

        Other rows have other numbers, and nothing moved.
        """
        if self.kind != "integer" or self.minimum is None or self.maximum is None:
            return False
        sampled = -(-self.present // sample_step(self.present))
        dense = self.maximum - self.minimum < GAPS * self.present
        return self.distinct == sampled >= NUMBERED and dense

    @property
    def by_value(self) -> bool:
        """Whether rows are counted by value, not between edges: texts, booleans, few integers."""
        return bool(self.values) or self.kind in ("text", "category", "boolean")


@dataclass(frozen=True)
class DatasetStatistics:
    """A dataset of N rows.

    Attributes:
        rows: N.
        columns: each of its columns, roles included.
        repeated: rows whose features another row before them has too.
        twins: pairs of features with the same values in every row; those that are nearly constant
            are left out.
    """

    rows: int
    columns: tuple[ColumnStatistics, ...]
    repeated: int
    twins: tuple[tuple[str, str], ...]

    def column(self, name: str) -> ColumnStatistics | None:
        """Return one column, ``None`` if there is none of the name."""
        return next((column for column in self.columns if column.name == name), None)


def statistics(data: Dataset, scan: RowScan | None = None) -> DatasetStatistics:
    """Return the statistics of a dataset.

    Args:
        data: the rows.
        scan: of its features, if it is known.
    """
    scan = scanned(data.features) if scan is None else scan
    columns = tuple(
        column_statistics(name, array_of(data.table, name)) for name in data.table.column_names
    )
    varied = {column.name for column in columns if column.distinct > 1}
    twins = tuple(pair for pair in _twins(scan, varied) if _varies(data, pair[1]))
    return DatasetStatistics(len(data), columns, scan.repeated, twins)


def _twins(scan: RowScan, varied: set[str]) -> tuple[tuple[str, str], ...]:
    first: dict[int, str] = {}
    pairs = []
    for name, number in scan.columns.items():
        if name in varied:
            if number in first:
                pairs.append((first[number], name))
            first.setdefault(number, name)
    return tuple(pairs)


def _varies(data: Dataset, name: str) -> bool:
    """Return false for a column that is nearly always the same: two such are equal by chance."""
    step = sample_step(len(data))
    counted = pc.value_counts(array_of(data.table, name)[::step])
    counts = counted.field("counts").to_numpy()
    return bool(counts.max() < NEARLY_ALL * counts.sum())


def column_statistics(name: str, array: pa.Array) -> ColumnStatistics:
    """Return the statistics of one column."""
    kind = kind_of(array.type)
    missing = int(array.null_count)
    if kind in ("text", "category", "boolean"):
        return _by_value(ColumnStatistics(name, kind, len(array), missing, 0), value_counts(array))
    numbers = finite(array)
    infinite = len(array) - missing - len(numbers)
    if not len(numbers):
        return ColumnStatistics(name, kind, len(array), missing, 0, infinite=infinite)
    edges, distinct = quantile_edges(numbers)
    column = ColumnStatistics(
        name, kind, len(array), missing, distinct,
        minimum=float(numbers.min()), maximum=float(numbers.max()),
        mean=float(numbers.mean(dtype=np.float64)), deviation=float(numbers.std(dtype=np.float64)),
        infinite=infinite, edges=edges,
    )  # fmt: skip
    if kind == "integer" and distinct <= VALUES:
        counted = value_counts(array)
        if len(counted) <= VALUES and len(counted) * RECURRING <= len(numbers):
            return _by_value(replace(column, edges=()), counted)
    return replace(column, counts=tuple(bin_counts(numbers, edges).tolist()))


def _by_value(column: ColumnStatistics, counted: Mapping[str, int]) -> ColumnStatistics:
    top = dict(list(counted.items())[:VALUES])
    rest = sum(counted.values()) - sum(top.values())
    return replace(column, distinct=len(counted), values=tuple(top), counts=(*top.values(), rest))


def finite(array: pa.Array) -> NDArray[Any]:
    """Return the finite numbers of a column, times as Unix seconds."""
    present = array.drop_null() if array.null_count else array
    is_number = kind_of(array.type) in NUMBERS
    values = numbers_of(present) if is_number else seconds_of(present)
    if values.dtype.kind != "f":
        return values
    inside = np.isfinite(values)
    return values if inside.all() else values[inside]


def sample_step(count: int) -> int:
    """Return every how many of so many numbers one is taken for quantiles."""
    return max(1, count // SAMPLE)


def quantile_edges(numbers: NDArray[Any]) -> tuple[tuple[float, ...], int]:
    """Return edges that hold as many numbers each, and how many numbers differ in the sample."""
    step = sample_step(len(numbers))
    sample = np.sort(numbers[::step].astype(np.float64))
    distinct = int(1 + np.count_nonzero(np.diff(sample)))
    places = np.linspace(0, len(sample) - 1, BINS + 1).round().astype(np.int64)
    return tuple(np.unique(sample[places]).tolist()), distinct


def bin_counts(numbers: NDArray[Any], edges: tuple[float, ...]) -> NDArray[np.int64]:
    """Return how many finite numbers are in each bin; those outside are in the first or last."""
    inner = [_comparable(edge, numbers.dtype) for edge in edges[1:-1]]
    reached = np.zeros(len(inner), dtype=np.int64)
    # Each block stays in the cache while it is compared: faster than a search for each number.
    for begin in range(0, len(numbers), BLOCK):
        block = numbers[begin : begin + BLOCK]
        reached += np.array([np.count_nonzero(block >= edge) for edge in inner], dtype=np.int64)
    bounds = np.concatenate([[len(numbers)], reached, [0]]).astype(np.int64)
    return bounds[:-1] - bounds[1:]


def _comparable(edge: float, dtype: np.dtype[Any]) -> Any:
    """Return an edge in the type of the numbers, where that changes no comparison."""
    if dtype.kind == "f":
        return dtype.type(edge) if float(dtype.type(edge)) == edge else np.float64(edge)
    whole = np.ceil(edge)
    return int(whole) if abs(whole) < 2**62 else edge


def value_counts(array: pa.Array) -> Mapping[str, int]:
    """Return how often each value is there, by its name, most frequent first; no missing ones.

    Numbers have the name that they have as categories on a device: ``3`` is that of 3 and of 3.0.
    """
    if pa.types.is_dictionary(array.type):
        codes = array.indices.drop_null().to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(array.dictionary)).tolist()
        pairs = zip(array.dictionary.to_pylist(), counts, strict=True)
    else:
        counted = pc.value_counts(array)
        pairs = zip(
            counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
        )
    found: Counter[str] = Counter()
    for value, count in pairs:
        if value is not None and count:
            # One text may be a book: what is kept and shown is its beginning.
            found[category(value)[:TEXT_LENGTH]] += count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def same_bins(before: ColumnStatistics, array: pa.Array) -> NDArray[np.int64]:
    """Return the counts of a column in the bins, or of the values, of statistics of before.

    A column of another kind gives zeros.
    """
    kind = kind_of(array.type)
    texts = kind in ("text", "category")
    if before.by_value and kind != "time" and texts == (before.kind in ("text", "category")):
        counted = value_counts(array)
        known = [counted.get(value, 0) for value in before.values]
        return np.array([*known, sum(counted.values()) - sum(known)], dtype=np.int64)
    if texts or not before.edges:
        return np.zeros(max(1, len(before.counts)), dtype=np.int64)
    return bin_counts(finite(array), before.edges)
