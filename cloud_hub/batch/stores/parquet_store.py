"""Predictions in Parquet: a folder for each generation, a file for each part."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.batch.cores import cores
from cloud_hub.batch.duplicates import repeated
from cloud_hub.batch.layout import ENTITY
from cloud_hub.batch.room import with_room
from cloud_hub.batch.rows import schema_of
from cloud_hub.batch.stores.sql_text import literals, twice_told
from cloud_hub.deferred.libraries import pa, pq
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from edge_sdk.system.files import fsync_directory, write_atomic

if TYPE_CHECKING:
    from cloud_hub.batch.layout import Layout
    from cloud_hub.batch.stores.store import Stamp

COMPLETE: Final = "_complete"
ENTITY_ROWS: Final = 16_384
GROUP_ROWS: Final = 131_072
"""Rows of a row group: a reader holds one in memory."""


class ParquetStore:
    """Folders of Parquet files below a folder; nothing can be looked up in them.

    Args:
        folder: of all predictions.
    """

    several = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, place: PurePosixPath) -> Path:
        """Return the folder of a generation."""
        return self._folder / place

    def begin(self, place: PurePosixPath, layout: Layout) -> None:
        """Make the folder; see :class:`Store`."""
        self.path(place).mkdir(parents=True, exist_ok=True)

    def done(self, place: PurePosixPath) -> Mapping[int, int]:
        """Return the parts that are whole; see :class:`Store`."""
        files = sorted(self.path(place).glob("part-*.parquet"))
        return {int(file.stem.partition("-")[2]): pq.read_metadata(file).num_rows for file in files}

    def write(
        self, place: PurePosixPath, layout: Layout, part: int, batches: Iterable[pa.RecordBatch]
    ) -> int:
        """Write one file beside its place, and rename it; see :class:`Store`."""
        path = self.path(place) / f"part-{part:05d}.parquet"
        if path.exists():
            raise HubFault(f"{path}: is there already")
        new, count = path.with_suffix(".new"), 0
        try:
            with new.open("wb") as file:
                with _writer(file, schema_of(layout)) as writer:
                    for batch in with_room(batches, path.parent):
                        writer.write_batch(batch, row_group_size=GROUP_ROWS)
                        count += batch.num_rows
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            fsync_directory(path.parent)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise HubFault(f"{path}: predictions cannot be written; {error}") from error
        return count

    def complete(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Look for entities that are there twice, and mark the folder; see :class:`Store`."""
        twice = repeated([functools.partial(_entities, f) for f in self._files(place)], cores())
        if twice:
            raise Invalid(twice_told(twice))
        text = "\n".join(f"{name}: {value}" for name, value in literals(stamp))
        write_atomic(self.path(place) / COMPLETE, text.encode())

    def show(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Rename the link ``current`` onto this generation; see :class:`Store`."""
        path = self.path(place)
        new = path.with_name(f"{path.name}.link")
        new.unlink(missing_ok=True)
        new.symlink_to(path.name)
        new.replace(path.with_name("current"))

    def read(
        self, place: PurePosixPath, layout: Layout, columns: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows; see :class:`Store`."""
        if not (self.path(place) / COMPLETE).exists():
            raise NotFound(f"generation {place.name}: is not kept here any more")
        schema = schema_of(layout)
        fields = pa.schema([schema.field(name) for name in columns])
        for batch in _batches(self._files(place), columns, rows):
            yield batch.select(list(columns)).cast(fields)

    def find(self, place: PurePosixPath, entities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Refuse: a file would be read from its beginning."""
        raise Conflict("this job writes Parquet, which no entity is looked up in; output: sql does")

    def file(self, place: PurePosixPath) -> Path | None:
        """Return the file of a generation; see :class:`Store`."""
        return None

    def drop(self, place: PurePosixPath) -> None:
        """Remove the folder; see :class:`Store`."""
        path = self.path(place)
        with contextlib.suppress(OSError):
            if str(path.with_name("current").readlink()) == path.name:
                path.with_name("current").unlink()
        # The mark first: what is half removed is not complete.
        (path / COMPLETE).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)

    def _files(self, place: PurePosixPath) -> list[Path]:
        return sorted(self.path(place).glob("part-*.parquet"))


def _entities(path: Path) -> Iterator[pa.Array]:
    return (batch.column(0) for batch in _batches([path], [ENTITY], ENTITY_ROWS))


def _writer(file: Any, schema: pa.Schema) -> pq.ParquetWriter:
    # Entities and scores hardly recur: a dictionary of them is built only to be thrown away.
    return pq.ParquetWriter(
        file, schema, compression="snappy", use_dictionary=False, write_statistics=False
    )


def _batches(files: Sequence[Path], columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                if file.metadata.num_rows:
                    yield from file.iter_batches(rows, columns=list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise HubFault(f"{path}: cannot be read; {error}") from error
