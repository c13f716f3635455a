"""A stream of rows written as parts, so that a job that is killed goes on with the same rows.

Rows of databases, CSV files and feature stores are read once, at one moment, into Parquet files of
the generation; they are removed when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_hub.batch.room import check_room
from cloud_hub.batch.sources.parts import Part, check_names, stamp_of
from cloud_hub.errors import HubFault, Invalid
from edge_sdk.system.files import fsync_directory

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROWS: Final = 2_000_000
"""Rows of one entity; all of them are in memory together."""


def extract(
    batches: Iterable[pa.RecordBatch],
    folder: Path,
    columns: Sequence[str],
    rows: int,
    *,
    together: str | None = None,
    tell: Callable[[int], None] = lambda rows: None,
) -> list[Part]:
    """Write rows as files of about ``rows`` each.

    Args:
        batches: all rows.
        folder: for the files.
        columns: to keep; the others are left out.
        rows: of a part.
        together: column whose runs of equal values stay in one part.
        tell: called with the rows so far.

    Raises:
        Invalid: a column is not there, or changes its type on the way.
        HubFault: the disk does not take it.
    """
    parts: list[Part] = []
    total = 0
    for table in _cut(_selected(batches, columns), rows, together):
        path = folder / f"input-{len(parts):05d}.parquet"
        check_room(folder, table.nbytes)
        try:
            with path.open("wb") as file:
                # Read once and removed: to squeeze it takes longer than to write it.
                pq.write_table(table, file, compression="none", use_dictionary=False)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise HubFault(f"{path}: the source cannot be kept; {error}") from error
        groups = tuple(range(pq.read_metadata(path).num_row_groups))
        parts.append(Part(len(parts), str(path), groups, table.num_rows, stamp_of(path)))
        total += table.num_rows
        tell(total)
    fsync_directory(folder)
    return parts


def remove_extracted(folder: Path) -> None:
    """Remove the files that :func:`extract` has written to a folder."""
    for path in folder.glob("input-*.parquet"):
        path.unlink()


def _selected(
    batches: Iterable[pa.RecordBatch], columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    schema: pa.Schema | None = None
    for batch in batches:
        check_names(batch.schema.names, columns)
        chosen = batch.select(list(columns))
        schema = schema or chosen.schema
        if chosen.schema != schema:
            try:
                chosen = chosen.cast(schema)
            except (pa.ArrowException, ValueError) as error:
                raise Invalid(f"source: expected columns of one type; {error}") from error
        yield chosen


def _cut(batches: Iterable[pa.RecordBatch], rows: int, together: str | None) -> Iterator[pa.Table]:
    """Yield tables of about ``rows`` rows, cut where ``together`` changes."""
    kept: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        kept.append(batch)
        count += batch.num_rows
        while count >= rows:
            table = pa.Table.from_batches(kept)
            at = rows if together is None else _last_change(table.column(together))
            if at == 0:
                if count > MOST_ROWS:
                    raise Invalid(f"source: one entity has more than {MOST_ROWS:,} rows")
                break  # one entity so far: its end is in a batch to come
            yield table.slice(0, at)
            kept = table.slice(at).to_batches()
            count -= at
            if together is not None:
                break
    if count:
        yield pa.Table.from_batches(kept)


def _last_change(column: pa.ChunkedArray) -> int:
    """Return the first row of the last run of equal values."""
    from pyarrow import compute

    values = column.combine_chunks()
    changes = compute.indices_nonzero(compute.not_equal(values[1:], values[:-1]))
    return int(changes[-1].as_py()) + 1 if len(changes) else 0
