"""The kept rows of a set, as files that are read piece by piece: they may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import pa, pq
from cloud_hub.errors import HubFault
from cloud_hub.features.intake import ENTITY, TIME, arrow_type
from cloud_hub.features.point_in_time import EntityTimes

if TYPE_CHECKING:
    from cloud_hub.features.declaration import FeatureSet

ROWS_AT_ONCE: Final = 4_000_000
"""Rows of history whose entities and moments are searched at once: about 200 MB."""

_KEYS: Final = ("@" + ENTITY, "@" + TIME)


@dataclass(frozen=True)
class SetHistory:
    """The kept rows of a set.

    Attributes:
        declared: the set.
        version: of what is declared.
        files: Parquet in the schema of the set, in the order in which they came.
        fingerprint: SHA-256 of the list of the files, which names what is in them.
    """

    declared: FeatureSet
    version: int
    files: tuple[Path, ...]
    fingerprint: str = ""

    @property
    def ref(self) -> str:
        """``NAME@N``."""
        return f"{self.declared.name}@{self.version}"


def entity_names(history: SetHistory) -> set[str]:
    """Return the names of all entities of a set."""
    names = pa.chunked_array([], pa.string())
    for files in file_groups(history.files):
        chunks = [c for file in files for c in _read(file, _KEYS[:1])[_KEYS[0]].chunks]
        distinct = pa.chunked_array([*names.chunks, *chunks], pa.string()).unique()
        names = pa.chunked_array([distinct])
    return set(names.to_pylist())


def uncorrected_rows(history: SetHistory) -> Iterator[pa.Table]:
    """Yield the rows of a set, file by file, with the names that it declares.

    Those that were corrected (another row of the same entity and moment came later) are left out:
    what is exported can be imported, and gives the same joins.

    Raises:
        HubFault: a file of history cannot be read.
    """
    declared = history.declared
    for file, counts in zip(history.files, _uncorrected(history), strict=True):
        index = _read(file, _KEYS).rename_columns([declared.entity, declared.time])
        table = features_in(file, declared)
        for i, name in enumerate(index.column_names):
            table = table.add_column(i, name, index[name])
        yield table.filter(pa.array(counts))


def _uncorrected(history: SetHistory) -> list[NDArray[np.bool_]]:
    """Return for each file which of its rows [N] were not corrected by a later file."""
    index, lengths = index_of(history.files)
    if not lengths:
        return []
    codes = index.entities.combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((index.times, codes))  # stable: of equal ones the last that came is last
    same = (np.diff(codes[order]) == 0) & (np.diff(index.times[order]) == 0)
    counts = np.ones(len(codes), np.bool_)
    counts[order[:-1][same]] = False
    return np.split(counts, np.cumsum(lengths)[:-1])


def file_groups(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield files in their order, together while they have at most :data:`ROWS_AT_ONCE` rows.

    Raises:
        HubFault: a file cannot be read.
    """
    group: list[Path] = []
    rows = 0
    for file in files:
        with _problems(file):
            count = pq.read_metadata(file).num_rows
        if group and rows + count > ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(file)
        rows += count
    if group:
        yield group


def index_of(files: Sequence[Path]) -> tuple[EntityTimes, list[int]]:
    """Return entities and moments of all rows of files, and the number of rows of each.

    Raises:
        HubFault: a file cannot be read.
    """
    tables = [_read(file, _KEYS) for file in files]
    entities = [chunk for table in tables for chunk in table[_KEYS[0]].chunks]
    times = [table[_KEYS[1]].cast(pa.int64()).to_numpy() for table in tables]
    whole = np.concatenate([np.empty(0, np.int64), *times])
    return (
        EntityTimes(pa.chunked_array(entities, pa.string()), whole),
        [table.num_rows for table in tables],
    )


def features_in(file: Path, declared: FeatureSet) -> pa.Table:
    """Return the features of a file's rows; those that are newer than the rows have their defaults.

    Raises:
        HubFault: the file cannot be read.
    """
    table = _read(file, declared.names)
    columns = {
        feature.name: table[feature.name]
        if feature.name in table.column_names
        else pa.repeat(pa.scalar(feature.filler, arrow_type(feature.dtype)), table.num_rows)
        for feature in declared.features
    }
    return pa.table(columns)


def defaults_of(declared: FeatureSet) -> pa.Table:
    """Return one row: what an entity has that has no row yet."""
    return pa.table({f.name: pa.array([f.filler], arrow_type(f.dtype)) for f in declared.features})


def _read(file: Path, names: Sequence[str]) -> pa.Table:
    with _problems(file):
        opened = pq.ParquetFile(file, memory_map=True)
        there = [name for name in names if name in opened.schema_arrow.names]
        table = opened.read(columns=there, use_threads=True)
        # Without a column the table would have no rows: count them by one that is always there.
        return table if there else opened.read(columns=[_KEYS[1]])


@contextmanager
def _problems(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        raise HubFault(f"features: {file.name} cannot be read; {error}") from error
