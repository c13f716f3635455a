"""Parquet, which the hub keeps rows in; a file of others may promise more than memory holds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from cloud_hub.data.library_errors import first_line
from cloud_hub.deferred.libraries import pa, pc, pq
from cloud_hub.errors import Invalid

ROWS_AT_ONCE: Final = 65_536


def write_parquet(table: pa.Table, to: BinaryIO | Path) -> None:
    """Write a table; the same one has the same bytes with the same library."""
    pq.write_table(table, to, compression="zstd", row_group_size=1 << 20)


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the content of a file."""
    buffer = io.BytesIO()
    write_parquet(table, buffer)
    return buffer.getvalue()


def read_parquet(file: BinaryIO, name: str, limit: int) -> pa.Table:
    """Return a file as a table, with its metadata.

    Args:
        file: open at its beginning.
        name: for messages.
        limit: bytes that the table may take.

    Raises:
        Invalid: no Parquet, damaged, or larger than ``limit``.
    """
    size, batches, schema = 0, [], None
    for batch in stream_parquet(file, name, limit=limit):
        size += batch.nbytes
        schema = batch.schema
        if size > limit:
            raise Invalid(f"{name}: expected at most {limit} bytes unpacked, got more")
        batches.append(batch)
    if schema is None:
        file.seek(0)
        return _schema(file, name).empty_table()
    return pa.Table.from_batches(batches, schema)


def stream_parquet(
    file: BinaryIO,
    name: str,
    *,
    columns: list[str] | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
    limit: int,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file.

    Args:
        file: open at its beginning.
        name: for messages.
        columns: names of those that are read; default all.
        rows_at_once: of a batch, at most.
        limit: bytes that a batch may take.

    Raises:
        Invalid: no Parquet, damaged, a column that is not there, or a batch above ``limit``.
    """
    try:
        schema = _schema(file, name)
        texts = [f.name for f in schema if pa.types.is_string(f.type) or _is_large(f.type)]
        # As dictionaries: a long text that stands in every row is read once, and seen to be long
        # before it is copied into each.
        reader = pq.ParquetFile(file, read_dictionary=texts, pre_buffer=False)
        wanted = columns if columns is not None else schema.names
        absent = [each for each in wanted if each not in schema.names]
        if absent:
            raise Invalid(f"{name}: has no column {absent[0]!r:.80}, only {schema.names[:20]}")
        for batch in reader.iter_batches(rows_at_once, columns=wanted, use_threads=False):
            yield _decoded(batch, [schema.field(each) for each in wanted], name, limit)
    except Invalid:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        raise Invalid(f"{name}: expected Parquet; {first_line(error)}") from error


def _schema(file: BinaryIO, name: str) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        raise Invalid(f"{name}: expected Parquet; {first_line(error)}") from error
    finally:
        file.seek(0)


def _is_large(type_: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(type_))


def _decoded(
    batch: pa.RecordBatch, fields: list[pa.Field], name: str, limit: int
) -> pa.RecordBatch:
    """Return the batch with texts in the place of dictionaries that only we asked for."""
    columns = []
    metadata = batch.schema.metadata
    for field in fields:
        column = batch.column(batch.schema.get_field_index(field.name))
        if column.type != field.type and pa.types.is_dictionary(column.type):
            lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
            if (pc.sum(lengths.cast(pa.int64())).as_py() or 0) > limit:
                raise Invalid(f"{name}: expected at most {limit} bytes unpacked, got more")
            column = column.cast(field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata))
