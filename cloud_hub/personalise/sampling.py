"""Labelled rows of many units, read from a file that may be larger than memory.

The file is streamed twice: once for the names of the units alone, then for the rows that are kept.
So memory is bounded by :data:`MOST_ROWS`, and by a few bytes for each row of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.reading import read_batches
from cloud_hub.errors import Invalid

MOST_ROWS: Final = 100_000
"""Rows that a fit looks at."""

ENOUGH: Final = 20
"""Rows of a unit that are worth more than another unit: before each has fewer, some units go."""

LONGEST_NAME: Final = 1_024
"""Characters of a unit's name."""


@dataclass(frozen=True)
class UnitColumns:
    """Columns of rows of units.

    Attributes:
        features: of the model, in its order.
        label: of the true answers.
        unit: of the names of units.
        cohort: of their cohorts; ``None`` without.
    """

    features: tuple[str, ...]
    label: str
    unit: str
    cohort: str | None = None

    def __post_init__(self) -> None:
        for role in ("unit", "cohort", "label"):
            column = getattr(self, role)
            if column in self.features:
                raise Invalid(
                    f"{role}: {column!r:.80} is a feature of the model; expected a column beside "
                    "them"
                )
        named = {self.unit: "unit", self.label: "label"}
        if len(named) < 2 or self.cohort in named:
            twice = self.unit if len(named) < 2 else self.cohort
            raise Invalid(
                f"unit, label, cohort: expected columns of their own, {twice!r:.80} is two of them"
            )


@dataclass(frozen=True, eq=False)
class SampledRows:
    """Rows that a fit is given.

    Attributes:
        data: features and labels, N rows.
        units: [N] names.
        cohorts: [N] names; ``None`` where they are not known.
        rows: in the file.
        unit_count: units in the file.
        said: what was left out, in sentences.
    """

    data: Dataset
    units: NDArray[Any]
    cohorts: NDArray[Any] | None
    rows: int
    unit_count: int
    said: tuple[str, ...]


def sampled_rows(
    path: Path, columns: UnitColumns, *, most: int = MOST_ROWS, seed: int = 0
) -> SampledRows:
    """Read rows, at most ``most``, fairly among units.

    Args:
        path: CSV, Parquet, or an ``.npz`` with ``X``, ``y`` and an array of the units' names.
        columns: their names; of an ``.npz`` the features are those of ``X`` in order.
        most: rows.
        seed: of what is drawn where there are more.

    Raises:
        Invalid: it cannot be read, has no such column, or fewer than two units.
    """
    _check_present(path, columns)
    codes, names = _units_of(path, columns.unit)
    known = codes >= 0
    if len(names) < 2:
        raise Invalid(
            f"{columns.unit}: expected rows of two units or more, so that one sees how units "
            f"differ; got {len(names)} in {len(codes):,} rows"
        )
    kept = known & drawn(np.where(known, codes, 0), known, most, seed)
    data, units, cohorts = _read(path, columns, kept)
    said = []
    if not known.all():
        said.append(f"{int((~known).sum()):,} rows name no unit and were left out")
    if kept.sum() < known.sum():
        some = len(np.unique(codes[kept]))
        said.append(
            f"{int(kept.sum()):,} of {int(known.sum()):,} rows were drawn, of {some:,} of "
            f"{len(names):,} units: no fit looks at more"
        )
    if columns.cohort is not None and cohorts is None:
        said.append(f"the rows have no column {columns.cohort!r:.80}: there are no cohorts")
    return SampledRows(data, units, cohorts, len(codes), len(names), tuple(said))


def drawn(
    codes: NDArray[np.int32], known: NDArray[np.bool_], most: int, seed: int
) -> NDArray[np.bool_]:
    """Mark the rows [N] that are kept: of each unit about as many as of the others.

    Args:
        codes: [N] number of each row's unit, from 0.
        known: [N] rows with a unit.
        most: rows to keep.
        seed: of the order in which rows and units are kept.
    """
    if int(known.sum()) <= most:
        return known
    rng = np.random.default_rng(seed)
    counts = np.bincount(codes[known])
    units = rng.permutation(len(counts))[: max(most // ENOUGH, 2)]
    chosen = np.zeros(len(counts), np.bool_)
    chosen[units] = True
    cap = _cap(counts[chosen], most)
    rows = rng.permutation(np.flatnonzero(known & chosen[codes]))
    order = rows[np.argsort(codes[rows], kind="stable")]
    sizes = counts[chosen]
    # The place of each row among those of its unit, which the order has one after the other.
    places = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = np.zeros(len(codes), np.bool_)
    kept[order[places < cap]] = True
    return kept


def _cap(counts: NDArray[np.int64], most: int) -> int:
    """Return the most rows of each unit with which all together are at most ``most``."""
    low, high = 1, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if np.minimum(counts, middle).sum() <= most else (low, middle - 1)
        )
    return low


def _units_of(path: Path, column: str) -> tuple[NDArray[np.int32], list[str]]:
    """Return the number of each row's unit [N], -1 where it has none, and the units' names."""
    numbers: dict[str, int] = {}
    parts = [np.empty(0, np.int32)]
    for batch in read_batches(path, columns=[column]):
        encoded = batch.column(0).cast(pa.string()).dictionary_encode()
        names = encoded.dictionary.to_pylist()
        longest = max(map(len, names), default=0)
        if longest > LONGEST_NAME:
            raise Invalid(
                f"{column}: expected names of up to {LONGEST_NAME} characters, got {longest}"
            )
        places = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
        indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        parts.append(np.append(places, np.int32(-1))[indices].astype(np.int32))
    return np.concatenate(parts), list(numbers)


def _read(
    path: Path, columns: UnitColumns, kept: NDArray[np.bool_]
) -> tuple[Dataset, NDArray[Any], NDArray[Any] | None]:
    """Return the rows that are kept: features and labels, units, cohorts."""
    present = _names_in(path, columns)
    features = _features_in(present, columns)
    cohort = columns.cohort if columns.cohort in present else None
    wanted = [*features, columns.label, columns.unit, *([cohort] if cohort else [])]
    tables, at = [], 0
    for batch in read_batches(path, columns=wanted):
        mask = kept[at : at + len(batch)]
        at += len(batch)
        if mask.any():
            tables.append(pa.Table.from_batches([batch]).filter(pa.array(mask)))
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    units = _texts(table, columns.unit)
    cohorts = None if cohort is None else _texts(table, cohort)
    named = table.select([*features, columns.label]).rename_columns(
        [*columns.features, columns.label]
    )
    return Dataset.read(named, label=columns.label, name=str(path)), units, cohorts


def _names_in(path: Path, columns: UnitColumns) -> list[str]:
    """Return the columns of the file."""
    asked = [columns.unit, *([columns.cohort] if columns.cohort else [])]
    first = next(iter(read_batches(path, rows_at_once=1, more=asked)), None)
    if first is None:
        raise Invalid(f"{path}: expected rows, there are none")
    return list(first.schema.names)


def _check_present(path: Path, columns: UnitColumns) -> None:
    """Refuse a file without a column of units or labels, with the names that it could be."""
    present = _names_in(path, columns)
    numbered = {f"x{i}" for i in range(len(present))}
    beside = [name for name in present if name not in {*columns.features, *numbered}]
    for role in ("unit", "label"):
        column = getattr(columns, role)
        if column not in present:
            raise Invalid(
                f"{role}: there is no column {column!r:.80}; beside the features there are "
                f"{beside[:20]}; name one with --{role}"
            )


def _features_in(present: Sequence[str], columns: UnitColumns) -> list[str]:
    """Return the names that the file has for the features; those of an array have only a place."""
    absent = [name for name in columns.features if name not in present]
    numbered = [name for name in present if name == f"x{present.index(name)}"]
    if absent and len(numbered) == len(columns.features):
        return numbered
    if absent:
        raise Invalid(
            f"expected the {len(columns.features)} features of the model, there is no column "
            f"{absent[0]!r:.80}, only {list(present)[:20]}: are these another model's rows?"
        )
    return list(columns.features)


def _texts(table: pa.Table, column: str) -> NDArray[Any]:
    texts: NDArray[Any] = table.column(column).cast(pa.string()).to_numpy(zero_copy_only=False)
    return texts
