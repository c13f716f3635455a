"""Parts of a source: runs of row groups of Parquet files, each read without the others.

Invariant: a file that changes after the parts were made is noticed, so that no generation is of two
states of one file.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import HubFault, Invalid

if TYPE_CHECKING:
    import pyarrow as pa

SMALL_GROUP: Final = 32 << 20
BUFFER: Final = 1 << 20
"""Bytes of a row group that is read whole, and of each column's buffer where it is not."""

READ_BYTES: Final = 4 << 20
"""Of a part that are decoded at once, by eight bytes a value."""

FileStamp = tuple[int, int, int]
"""Inode, bytes and nanoseconds of the last change of a file."""


@dataclass(frozen=True)
class Part:
    """Rows of one file that are computed together.

    Attributes:
        number: of the part, from 0.
        path: of a Parquet file.
        groups: numbers of its row groups.
        rows: in them.
        stamp: of the file when the parts were made.
    """

    number: int
    path: str
    groups: tuple[int, ...]
    rows: int
    stamp: tuple[int, ...]


def stamp_of(path: Path) -> FileStamp:
    """Return what changes when a file does."""
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def files_of(pattern: str) -> list[Path]:
    """Return the files that a name or pattern names, in order; raises Invalid if there are none."""
    paths = [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207
    if Path(pattern).is_dir():
        paths = sorted(Path(pattern).glob("*.parquet"))
    if not paths:
        raise Invalid(f"source: {pattern}: there is no such file")
    return paths


def parts_of(paths: Sequence[Path], rows: int) -> list[Part]:
    """Return the parts of Parquet files: whole row groups, together about ``rows`` each.

    Raises:
        Invalid: a file is no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts: list[Part] = []
    for path in paths:
        try:
            stamp = stamp_of(path)
            metadata = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise Invalid(f"source: {path}: expected Parquet; {error}") from error
        groups: list[int] = []
        count = 0
        for group in range(metadata.num_row_groups):
            inside = metadata.row_group(group).num_rows
            if groups and count + inside > rows:
                parts.append(Part(len(parts), str(path), tuple(groups), count, stamp))
                groups, count = [], 0
            groups.append(group)
            count += inside
        if groups:
            parts.append(Part(len(parts), str(path), tuple(groups), count, stamp))
    return parts


def read_part(part: Part, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, at most ``rows`` at a time.

    Raises:
        Invalid: the file lacks a column, or is another one than when the parts were made.
        HubFault: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(part.path)
    check_unchanged(path, part.stamp)
    try:
        # Not memory-mapped: pages of a file that shrinks meanwhile would end the process.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_buffer(path, part)) as file:
            check_names(file.schema_arrow.names, columns)
            # More at a time than is asked for: a column's decoder starts less often.
            many = max(rows, READ_BYTES // (8 * len(columns)) // rows * rows)
            for batch in file.iter_batches(
                many, row_groups=list(part.groups), columns=list(columns), use_threads=False
            ):
                batch.validate(full=True)  # Parquet says that texts are UTF-8, and nobody looked
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows)
    except (OSError, pa.ArrowException) as error:
        check_unchanged(path, part.stamp)  # which would be the better reason
        raise HubFault(f"source: {path}: cannot be read; {error}") from error
    check_unchanged(path, part.stamp)


def _buffer(path: Path, part: Part) -> int:
    """Return the bytes to read at once of each column; 0: a row group's, which is a copy less."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    largest = max(metadata.row_group(group).total_byte_size for group in part.groups)
    return 0 if largest <= SMALL_GROUP else BUFFER


def check_names(there: Sequence[str], columns: Sequence[str]) -> None:
    """Raise Invalid unless a source has every column that is needed, each once."""
    missing = [name for name in columns if name not in there]
    if missing:
        shown = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
        raise Invalid(f"source: expected the columns {missing[:10]} too, got {shown}")
    twice = [name for name in columns if list(there).count(name) > 1]
    if twice:
        raise Invalid(f"source: expected each column once, got {twice} again")


def check_unchanged(path: Path, stamp: tuple[int, ...]) -> None:
    """Raise Invalid if a file is another one than when its stamp was taken."""
    try:
        same = stamp_of(path) == tuple(stamp)
    except OSError:
        same = False
    if not same:
        raise Invalid(
            f"source: {path}: was changed or removed while it was read, so its answers would be of "
            "two states; write a new file beside it and rename it, then run the job again"
        )
