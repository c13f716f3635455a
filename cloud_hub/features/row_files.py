"""Files of labels and of feature rows: Parquet, or CSV with a header."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from cloud_hub.errors import Invalid

PARQUET: Final = b"PAR1"
"""Beginning and end of every Parquet file."""

LEVEL: Final = 3


def read_rows(source: Path | bytes, name: str) -> pa.Table:
    """Return the rows of a file: Parquet if it begins like one, else CSV in UTF-8.

    Args:
        source: the file, or its content.
        name: of the file, for messages.

    Raises:
        Invalid: it cannot be read as either.
    """
    try:
        raw: Any = (
            pa.BufferReader(source) if isinstance(source, bytes) else pa.memory_map(str(source))
        )
        if raw.read(len(PARQUET)) == PARQUET:
            raw.seek(0)
            return _plain(pq.read_table(raw))
        raw.seek(0)
        return pyarrow.csv.read_csv(raw)
    # PyArrow's errors are ValueErrors and OSErrors; a damaged file may raise either.
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Invalid(f"{name}: expected Parquet, or CSV with a header; {_first(error)}") from error


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as Parquet; the same rows are the same bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=LEVEL)
    return sink.getvalue()


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet; the file is not there before it is whole."""
    new = path.with_name(f"{path.name}.new")
    try:
        pq.write_table(table, new, compression="zstd", compression_level=LEVEL)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise Invalid(f"{path}: cannot write it; {error.strerror or error}") from error


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with texts for dictionaries, without what pandas noted for itself."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table.column(i).cast(field.type.value_type))
    return table.replace_schema_metadata(None)


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
