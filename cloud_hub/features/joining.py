"""Joins labels with what serving would have had at their moments. No database, no hub.

A training's worker runs this on copies of the files; the hub on its own. Only what is asked for is
held in memory: the index of a set, and the rows that some label takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.features.intake import ARROW, ENTITY, TIME, entities_of
from cloud_hub.features.moments import MICRO, micros_of
from cloud_hub.features.point_in_time import NONE, EntityTimes, newest_before
from cloud_hub.text.spelling import did_you_mean

if TYPE_CHECKING:
    from cloud_hub.features.declaration import FeatureSet

AGE = "@age"
"""End of the name of a column with the age of a set's values, in seconds."""


@dataclass(frozen=True)
class SetHistory:
    """The kept rows of a set.

    Attributes:
        declared: the set.
        ref: ``NAME@N``.
        files: Parquet in the schema of the set, in the order in which they came.
    """

    declared: FeatureSet
    ref: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class SetCoverage:
    """What labels got of one set.

    Attributes:
        ref: ``NAME@N``.
        rows: labels.
        defaulted: of them, those whose entity had no row yet: they got the defaults.
        stale: of them, those whose values were older than ``freshness``.
    """

    ref: str
    rows: int
    defaulted: int
    stale: int


@dataclass(frozen=True)
class JoinedRows:
    """Labels with features, and what they got of each set."""

    table: pa.Table
    coverage: tuple[SetCoverage, ...]


def join(
    labels: pa.Table, histories: Sequence[SetHistory], as_of: str, *, ages: bool = False
) -> JoinedRows:
    """Return labels, in their order, with a column for each feature.

    Args:
        labels: N rows with the entity's column of each set, and moments.
        histories: sets to join.
        as_of: column of moments.
        ages: also give, for each set, the age of its values in seconds as ``NAME@age``; missing
            where an entity had none.

    Raises:
        Invalid: a column is missing, holds something else, or would be there twice.
        HubFault: a file of history cannot be read.
    """
    if as_of not in labels.column_names:
        near = did_you_mean(as_of, labels.column_names)
        raise Invalid(f"{as_of}: expected this column of moments; {near}got {labels.column_names}")
    moments = micros_of(labels[as_of], as_of, rounding="down")
    _check_names(labels, histories)
    coverage = []
    for history in histories:
        asked = EntityTimes(entities_of(labels, history.declared.entity), moments)
        columns, covered = _joined(history, asked, ages=ages)
        coverage.append(covered)
        for name, column in columns.items():
            labels = labels.append_column(name, column)
    return JoinedRows(labels, tuple(coverage))


def all_rows(history: SetHistory) -> pa.Table:
    """Return all rows of a set, in the order in which they came, with the names that it declares.

    Raises:
        HubFault: a file of history cannot be read.
    """
    declared = history.declared
    keys = ["@" + ENTITY, "@" + TIME]
    tables = []
    for file in history.files:
        table = _declared(_read(file, declared.names), declared)
        index = _read(file, keys).rename_columns([declared.entity, declared.time])
        for i, name in enumerate(index.column_names):
            table = table.add_column(i, name, index[name])
        tables.append(table)
    return pa.concat_tables(tables)


def _check_names(labels: pa.Table, histories: Sequence[SetHistory]) -> None:
    there = set(labels.column_names)
    for history in histories:
        twice = sorted(there & set(history.declared.names))
        if twice:
            raise Invalid(
                f"{history.ref}: {twice} stand in the labels or another set already; "
                "leave them out, or name other sets"
            )
        there.update(history.declared.names)


def _joined(
    history: SetHistory, asked: EntityTimes, *, ages: bool
) -> tuple[dict[str, pa.ChunkedArray], SetCoverage]:
    declared = history.declared
    parts, lengths = _index(history)
    # Serving has a row only so long after its moment; training does not see it earlier.
    seen = EntityTimes(parts.entities, parts.times + round(declared.delay_seconds * MICRO))
    found = newest_before(seen, asked)
    missing = found == NONE
    age = asked.times - parts.times[np.maximum(found, 0)] if len(parts.times) else asked.times
    stale = (age > declared.freshness_seconds * MICRO) & ~missing
    columns = _values(history, lengths, found)
    if ages:
        seconds = pa.array(age / MICRO, pa.float64(), mask=missing)
        columns[f"{declared.name}{AGE}"] = pa.chunked_array([seconds])
    covered = SetCoverage(history.ref, len(found), int(missing.sum()), int(stale.sum()))
    return columns, covered


def _index(history: SetHistory) -> tuple[EntityTimes, list[int]]:
    """Return entities and moments of all rows, and the number of rows of each file."""
    names = ["@" + ENTITY, "@" + TIME]
    tables = [_read(file, names) for file in history.files]
    entities = [chunk for table in tables for chunk in table[names[0]].chunks]
    times = [table[names[1]].cast(pa.int64()).to_numpy() for table in tables]
    whole = np.concatenate([np.empty(0, np.int64), *times])
    return (
        EntityTimes(pa.chunked_array(entities, pa.string()), whole),
        [table.num_rows for table in tables],
    )


def _values(
    history: SetHistory, lengths: Sequence[int], found: NDArray[np.int64]
) -> dict[str, pa.ChunkedArray]:
    """Return the features of the rows ``found`` [N]; defaults where there is none."""
    needed, place = np.unique(found, return_inverse=True)
    nothing = bool(len(needed)) and needed[0] == NONE
    rows = needed[1:] if nothing else needed
    pieces = [_defaults(history.declared)] if nothing else []
    pieces += _needed(history, lengths, rows)
    if not pieces:
        pieces = [_defaults(history.declared).slice(0, 0)]
    table = pa.concat_tables(pieces).combine_chunks()
    indices = pa.array(place)
    return {
        name: pa.chunked_array([table[name].combine_chunks().take(indices)])
        for name in history.declared.names
    }


def _needed(
    history: SetHistory, lengths: Sequence[int], rows: NDArray[np.int64]
) -> Iterator[pa.Table]:
    """Yield some rows, file by file; a file from which none is needed is not read."""
    start = 0
    for file, length in zip(history.files, lengths, strict=True):
        low, high = np.searchsorted(rows, (start, start + length))
        if high > low:
            wanted = pa.array(rows[low:high] - start)
            yield _declared(_read(file, history.declared.names), history.declared).take(wanted)
        start += length


def _declared(table: pa.Table, declared: FeatureSet) -> pa.Table:
    """Return the columns of a set; features that are newer than the rows have their defaults."""
    columns = {
        feature.name: table[feature.name]
        if feature.name in table.column_names
        else pa.repeat(pa.scalar(feature.filler, ARROW[feature.dtype]), table.num_rows)
        for feature in declared.features
    }
    return pa.table(columns)


def _defaults(declared: FeatureSet) -> pa.Table:
    return pa.table({f.name: pa.array([f.filler], ARROW[f.dtype]) for f in declared.features})


def _read(file: Path, names: Sequence[str]) -> pa.Table:
    try:
        opened = pq.ParquetFile(file, memory_map=True)
        there = [name for name in names if name in opened.schema_arrow.names]
        table = opened.read(columns=there, use_threads=True)
        # Without a column the table would have no rows: count them by one that is always there.
        return table if there else opened.read(columns=["@" + TIME])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise HubFault(f"features: {file.name} cannot be read; {error}") from error
