"""Files of labels and of feature rows: Parquet, or CSV with a header."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from cloud_hub.data.csv_files import read_csv
from cloud_hub.data.parquet_files import read_parquet
from cloud_hub.deferred.libraries import pa, pc, pq
from cloud_hub.errors import Invalid

PARQUET: Final = b"PAR1"
"""Beginning and end of every Parquet file."""

LEVEL: Final = 3

LARGEST: Final = 4 << 30
"""Bytes that the rows of a file may take in memory; a small file may promise more."""

_INDEX: Final = re.compile(r"__index_level_\d+__")
"""Columns in which pandas keeps the index of a DataFrame."""


def read_rows(source: Path | bytes, name: str, texts: Collection[str] = ()) -> pa.Table:
    """Return the rows of a file: Parquet if it begins like one, else CSV in UTF-8.

    Args:
        source: the file, or its content.
        name: of the file, for messages.
        texts: columns of a CSV file that are texts whatever is in them: 007 is no 7.

    Raises:
        Invalid: it cannot be read as either, or is larger than :data:`LARGEST` in memory.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            is_parquet = file.read(len(PARQUET)) == PARQUET
            file.seek(0)
            if is_parquet:
                return _plain(read_parquet(file, name, LARGEST), name)
            return read_csv(file, name, LARGEST, texts=texts)
    except OSError as error:
        raise Invalid(f"{name}: cannot read it; {error.strerror or error}") from error


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


def _plain(table: pa.Table, name: str) -> pa.Table:
    """Return the table with texts for dictionaries, without what pandas noted for itself."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            _check_size(table.column(i), name)
            table = table.set_column(i, field.name, table.column(i).cast(field.type.value_type))
    index = [each for each in table.column_names if _INDEX.fullmatch(each)]
    return table.drop_columns(index).replace_schema_metadata(None)


def _check_size(column: pa.ChunkedArray, name: str) -> None:
    """Raise Invalid if texts of a dictionary, each written out, are too many bytes."""
    kind = column.type.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return
    size = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
        size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
    if size > LARGEST:
        raise Invalid(f"{name}: expected at most {LARGEST} bytes unpacked, got {size}")
