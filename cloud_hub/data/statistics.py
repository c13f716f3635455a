"""Statistics of columns: enough to compare two versions of data without the rows of either. Pure.

Numbers and times are counted between quantiles, texts and booleans by value. Counts of another
version of the data in the same bins are what every distance needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cloud_hub.data.columns import NUMBERS, ColumnKind, kind_of, numbers_of, seconds_of

BINS: Final = 32
SAMPLE: Final = 100_000
"""Rows from which quantiles are taken, evenly spaced; counts are of all rows."""

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
        values: texts and booleans that are counted by name, most frequent first.
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
    def by_value(self) -> bool:
        """Whether rows are counted by value, not between edges."""
        return self.kind in ("text", "category", "boolean")


def statistics(table: pa.Table) -> tuple[ColumnStatistics, ...]:
    """Return the statistics of each column of a table that :func:`plain_table` returned."""
    return tuple(
        column_statistics(field.name, column.combine_chunks())
        for field, column in zip(table.schema, table.columns, strict=True)
    )


def column_statistics(name: str, array: pa.Array) -> ColumnStatistics:
    """Return the statistics of one column."""
    kind = kind_of(array.type)
    missing = int(array.null_count)
    if kind in ("text", "category", "boolean"):
        counted = value_counts(array)
        top = dict(list(counted.items())[:VALUES])
        rest = sum(counted.values()) - sum(top.values())
        return ColumnStatistics(
            name, kind, len(array), missing, len(counted),
            values=tuple(top), counts=(*top.values(), rest),
        )  # fmt: skip
    numbers = finite(array)
    infinite = len(array) - missing - len(numbers)
    if not len(numbers):
        return ColumnStatistics(name, kind, len(array), missing, 0, infinite=infinite)
    edges, distinct = quantile_edges(numbers)
    return ColumnStatistics(
        name, kind, len(array), missing, distinct,
        minimum=float(numbers.min()), maximum=float(numbers.max()),
        mean=float(numbers.mean(dtype=np.float64)), deviation=float(numbers.std(dtype=np.float64)),
        infinite=infinite, edges=edges, counts=tuple(bin_counts(numbers, edges).tolist()),
    )  # fmt: skip


def finite(array: pa.Array) -> NDArray[Any]:
    """Return the finite numbers of a column, times as Unix seconds."""
    present = array.drop_null() if array.null_count else array
    is_number = kind_of(array.type) in NUMBERS
    values = numbers_of(present) if is_number else seconds_of(present)
    if values.dtype.kind != "f":
        return values
    inside = np.isfinite(values)
    return values if inside.all() else values[inside]


def quantile_edges(numbers: NDArray[Any]) -> tuple[tuple[float, ...], int]:
    """Return edges that hold as many numbers each, and how many numbers differ in the sample."""
    step = max(1, len(numbers) // SAMPLE)
    sample = np.sort(numbers[::step].astype(np.float64))
    distinct = int(1 + np.count_nonzero(np.diff(sample)))
    places = np.linspace(0, len(sample) - 1, BINS + 1).round().astype(np.int64)
    return tuple(np.unique(sample[places]).tolist()), distinct


def bin_counts(numbers: NDArray[Any], edges: tuple[float, ...]) -> NDArray[np.int64]:
    """Return how many finite numbers are in each bin; those outside are in the first or last."""
    if len(edges) < 3:
        return np.array([len(numbers)], dtype=np.int64)
    places = np.searchsorted(np.asarray(edges[1:-1], dtype=np.float64), numbers, side="right")
    return np.bincount(places, minlength=len(edges) - 1).astype(np.int64)


def value_counts(array: pa.Array) -> Mapping[str, int]:
    """Return how often each text or boolean is there, most frequent first, without missing ones."""
    texts = array.cast(pa.string()) if kind_of(array.type) != "text" else array
    # One text may be a book: what is kept and shown is its beginning.
    cut = pc.utf8_slice_codeunits(texts, 0, TEXT_LENGTH)
    counted = pc.value_counts(cut)
    names = counted.field("values").to_pylist()
    counts = counted.field("counts").to_pylist()
    found = {n: c for n, c in zip(names, counts, strict=True) if n is not None}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def same_bins(before: ColumnStatistics, array: pa.Array) -> NDArray[np.int64]:
    """Return the counts of a column in the bins, or of the values, of statistics of before.

    A column of another kind gives zeros.
    """
    kind = kind_of(array.type)
    if before.by_value:
        if kind not in ("text", "category", "boolean"):
            return np.zeros(len(before.counts), dtype=np.int64)
        counted = value_counts(array)
        known = [counted.get(value, 0) for value in before.values]
        return np.array([*known, sum(counted.values()) - sum(known)], dtype=np.int64)
    if kind in ("text", "category") or not before.edges:
        return np.zeros(max(1, len(before.counts)), dtype=np.int64)
    return bin_counts(finite(array), before.edges)
