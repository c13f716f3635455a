"""Generations as files that other programs read: Parquet, CSV, SQLite."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal

from cloud_hub.batch.stores.sql_text import iso
from cloud_hub.batch.stores.sqlite_store import SqliteStore
from cloud_hub.batch.stores.store import Stamp
from cloud_hub.deferred.libraries import csv, pa, pq

if TYPE_CHECKING:
    from cloud_hub.batch.generations import Generation

Format = Literal["parquet", "csv", "sqlite"]
ROWS: Final = 65_536
CHUNK: Final = 1 << 20


def exported(generation: Generation, format_: Format, folder: Path) -> Iterator[bytes]:
    """Yield the bytes of a file with every entity, its answer, the version and the times.

    Args:
        generation: that is whole.
        format_: of the file.
        folder: with room for a file, where SQLite needs one.
    """
    if format_ == "sqlite":
        return _sqlite(generation, folder)
    return _parquet(generation) if format_ == "parquet" else _csv(generation)


def _stamped(generation: Generation) -> Iterator[pa.RecordBatch]:
    record = generation.record
    constants = {
        "version": f"{record.line} {record.version}",
        "computed_at": iso(record.computed_at or 0.0),
        "valid_until": iso(record.valid_until or 0.0),
        "generation": record.id,
    }
    for batch in generation.batches(ROWS):
        for name, value in constants.items():
            batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
        yield batch


def _csv(generation: Generation) -> Iterator[bytes]:
    for i, batch in enumerate(_stamped(generation)):
        buffer = io.BytesIO()
        csv.write_csv(batch, buffer, csv.WriteOptions(include_header=i == 0))
        yield buffer.getvalue()


def _parquet(generation: Generation) -> Iterator[bytes]:
    buffer = _Taken()
    writer: pq.ParquetWriter | None = None
    constants = ["version", "computed_at", "valid_until", "generation"]
    for batch in _stamped(generation):
        if writer is None:
            writer = pq.ParquetWriter(buffer, batch.schema, use_dictionary=constants)
        writer.write_batch(batch)
        yield buffer.take()
    if writer is not None:
        writer.close()
        yield buffer.take()


class _Taken(io.RawIOBase):
    """A file whose bytes are taken out as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: object) -> int:
        raw = bytes(memoryview(data))  # type: ignore[arg-type]
        self._parts.append(raw)
        self._at += len(raw)
        return len(raw)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _sqlite(generation: Generation, folder: Path) -> Iterator[bytes]:
    record, place = (
        generation.record,
        PurePosixPath("export/predictions") / str(generation.record.id),
    )
    stamp = Stamp(
        record.id, record.model, record.job, f"{record.line} {record.version}",
        record.computed_at or 0.0, record.valid_until or 0.0,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        path = generation.file()
        if path is None:
            made = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
            store = SqliteStore(made)
            store.begin(place, generation.layout)
            store.write(place, generation.layout, 0, generation.batches(ROWS))
            store.complete(place, generation.layout, stamp)
            path = store.path(place)
        file = stack.enter_context(path.open("rb"))
        while chunk := file.read(CHUNK):
            yield chunk
