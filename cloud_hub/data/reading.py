"""Reads rows from whatever holds them: CSV, Parquet, ``.npz``, DataFrames, arrays, columns.

What a file is its first bytes say, not its name.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from cloud_hub.data.columns import plain_table
from cloud_hub.data.csv_files import read_csv, stream_csv
from cloud_hub.data.library_errors import first_line
from cloud_hub.data.npz import read_npz, table_of
from cloud_hub.data.parquet_files import ROWS_AT_ONCE, read_parquet, stream_parquet
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid
from edge_sdk.contract.limits import MODEL_BYTES

MOST_BYTES: Final = MODEL_BYTES
"""Bytes of a table, unpacked."""

EXPECTED: Final = "expected CSV, Parquet, or an .npz with X and y"

Source = Any
"""A path, bytes, an open file, a pandas DataFrame, an Arrow table, an array [N, columns], or
columns [N] by name."""


def read_table(source: Source, *, name: str = "dataset", limit: int = MOST_BYTES) -> pa.Table:
    """Return rows as columns of the kinds of :mod:`cloud_hub.data.columns`, whatever holds them.

    Args:
        source: see :data:`Source`. Columns of an array are called ``x0``, ``x1`` and so on.
        name: of the data, for messages; of a path its own name is said.
        limit: bytes that the table may take.

    Raises:
        Invalid: it cannot be read, or holds what no column here has.
    """
    if isinstance(source, str | Path):
        with opened(Path(source)) as file:
            return read_table(file, name=str(source), limit=limit)
    if isinstance(source, bytes | bytearray):
        source = io.BytesIO(source)
    if hasattr(source, "read"):
        return plain_table(_read_file(source, name, limit), name)
    return plain_table(_of_memory(source, name), name)


def read_batches(
    path: Path,
    *,
    columns: list[str] | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
    more: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file that is larger than memory, with the kinds of :func:`read_table`.

    Categories are those of their batch. An ``.npz`` is read whole, for it is no stream.

    Args:
        path: CSV, Parquet or ``.npz``.
        columns: names of those that are wanted, in this order; default all.
        rows_at_once: of a batch, at most.
        more: of an ``.npz``, other arrays [N] that are columns too, where they are; so are those
            of ``columns``.

    Raises:
        Invalid: it cannot be read, or has no such columns.
    """
    name = str(path)
    with opened(path) as file:
        for batch in _stream(file, name, columns, rows_at_once, (*(columns or ()), *more)):
            table = pa.Table.from_batches([batch])
            if columns is not None:
                absent = [each for each in columns if each not in table.column_names]
                if absent:
                    raise Invalid(
                        f"{name}: has no column {absent[0]!r:.80}, only {table.column_names[:20]}"
                    )
                table = table.select(columns)
            yield from plain_table(table, name).to_batches(max_chunksize=rows_at_once)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read; raises Invalid where the system refuses."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise Invalid(f"{path}: cannot be read; {error.strerror}") from error
    with file:
        yield file


def _stream(
    file: BinaryIO, name: str, columns: list[str] | None, rows_at_once: int, more: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    kind = _kind(file)
    if kind == "parquet":
        yield from stream_parquet(
            file, name, columns=columns, rows_at_once=rows_at_once, limit=MOST_BYTES
        )
    elif kind == "npz":
        table = read_npz(file, name, MOST_BYTES, more)
        yield from table.to_batches(max_chunksize=rows_at_once)
    else:
        yield from stream_csv(file, name)


def _kind(file: BinaryIO) -> str:
    begin = file.read(4)
    file.seek(0)
    if begin == b"PAR1":
        return "parquet"
    return "npz" if begin[:2] == b"PK" else "csv"


def _read_file(file: BinaryIO, name: str, limit: int) -> pa.Table:
    kind = _kind(file)
    if kind == "parquet":
        return read_parquet(file, name, limit)
    return read_npz(file, name, limit) if kind == "npz" else read_csv(file, name, limit)


def _of_memory(source: Any, name: str) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if isinstance(source, np.ndarray):
        return table_of(source, {}, name)
    # Recognised by its methods: whoever gives a DataFrame has imported pandas.
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        source = {str(label): source.iloc[:, i] for i, label in enumerate(source.columns)}
    elif hasattr(source, "__arrow_c_stream__"):  # DataFrames of other libraries
        return pa.table(source)
    if not isinstance(source, Mapping):
        raise Invalid(f"{name}: {EXPECTED}, or a DataFrame; got {type(source).__name__}")
    columns = {str(label): _column(values, f"{name}: {label}") for label, values in source.items()}
    lengths = {label: len(values) for label, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise Invalid(f"{name}: expected columns of one length, got {lengths}"[:300])
    return pa.table(columns)


def _column(values: Any, name: str) -> pa.Array:
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise Invalid(
            f"{name}: expected values of one kind, numbers or texts; {first_line(error)}"
        ) from error
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
