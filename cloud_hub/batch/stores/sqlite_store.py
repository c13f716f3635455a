"""Predictions in SQLite: one file for each generation, and a link to the one that answers.

``predictions-17.db`` has the table ``rows``, the view ``predictions`` (rows with version and times)
once it is complete, and the marks of its parts. ``predictions.db`` beside it is a link that is
renamed onto the newest, so whoever opens it sees one generation whole. A file each, because then
writing disturbs no reader, a part needs no copy in a log, and what is dropped frees the disk.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.batch.layout import ENTITY
from cloud_hub.batch.room import with_room
from cloud_hub.batch.stores.sql_text import declared, literals, quoted, twice_told
from cloud_hub.errors import HubFault, Invalid, NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from cloud_hub.batch.layout import Layout, Number
    from cloud_hub.batch.stores.store import Stamp

SQL_TYPES: Final[dict[Number, str]] = {
    "string": "TEXT", "int64": "INTEGER", "float32": "REAL", "float64": "REAL",
}  # fmt: skip
CACHE_KB: Final = 65_536
MOST_NAMES: Final = 500
"""Entities that one query looks for."""

MOST_OPEN: Final = 8
"""Files that a thread keeps open for look-ups."""

MOST_ROWS: Final = 256
"""Rows of one INSERT: binding many at once takes two thirds of the time of one by one."""

MOST_VARIABLES: Final = 32_000


class SqliteStore:
    """SQLite files below a folder.

    Args:
        folder: of all predictions.
    """

    several = False  # a file has one writer

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()

    def path(self, place: PurePosixPath) -> Path:
        """Return the file of a generation."""
        return self._folder / place.parent / f"predictions-{place.name}.db"

    def begin(self, place: PurePosixPath, layout: Layout) -> None:
        """Make the file, unless it is there; see :class:`Store`."""
        path = self.path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = declared(layout, SQL_TYPES)
        with _writing(path) as db:
            db.execute(f"CREATE TABLE IF NOT EXISTS rows ({columns})")
            db.execute("CREATE TABLE IF NOT EXISTS parts (part INTEGER PRIMARY KEY, rows INTEGER)")

    def done(self, place: PurePosixPath) -> Mapping[int, int]:
        """Return the parts that are whole; see :class:`Store`."""
        if not self.path(place).exists():
            return {}
        with _writing(self.path(place)) as db:
            # A file without tables is of a process that was killed as it began.
            begun = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'parts'").fetchone()
            query = "SELECT part, rows FROM parts ORDER BY part"
            return dict(db.execute(query).fetchall()) if begun else {}

    def write(
        self, place: PurePosixPath, layout: Layout, part: int, batches: Iterable[pa.RecordBatch]
    ) -> int:
        """Write one part and its mark in one transaction; see :class:`Store`."""
        path, count = self.path(place), 0
        with _writing(path) as db:
            # First: of two that write one part, the second is refused before it has written.
            db.execute("INSERT INTO parts VALUES (?, 0)", (part,))
            for batch in with_room(batches, path.parent):
                insert_rows(db, batch)
                count += batch.num_rows
            db.execute("UPDATE parts SET rows = ? WHERE part = ?", (count, part))
        return count

    def complete(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Index the entities and make the view; see :class:`Store`."""
        with _writing(self.path(place)) as db:
            try:
                # Once, in the end: sorted runs are written in order, single rows all over the file.
                db.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {ENTITY} ON rows ({ENTITY})")
            except sqlite3.IntegrityError:
                twice = f"SELECT {ENTITY} FROM rows GROUP BY 1 HAVING count(*) > 1 LIMIT 3"
                names = [name for (name,) in db.execute(twice)]
                raise Invalid(twice_told(names)) from None
            columns = ", ".join(map(quoted, layout.columns))
            constants = ", ".join(f"{literal} AS {name}" for name, literal in literals(stamp))
            db.execute("DROP VIEW IF EXISTS predictions")
            db.execute(f"CREATE VIEW predictions AS SELECT {columns}, {constants} FROM rows")

    def show(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Rename the link onto this generation; see :class:`Store`."""
        path = self.path(place)
        link, new = path.with_name("predictions.db"), path.with_name(f"{path.name}.link")
        new.unlink(missing_ok=True)
        new.symlink_to(path.name)
        new.replace(link)

    def read(
        self, place: PurePosixPath, layout: Layout, columns: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows; see :class:`Store`."""
        from cloud_hub.batch.rows import batch_of_tuples

        with contextlib.closing(self._open(place)) as db:
            cursor = db.execute(f"SELECT {', '.join(map(quoted, columns))} FROM predictions")
            while found := cursor.fetchmany(rows):
                yield batch_of_tuples(layout, columns, found)

    def find(self, place: PurePosixPath, entities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return rows by entity; see :class:`Store`."""
        db = self._kept(place)
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(entities), MOST_NAMES):
            some = entities[start : start + MOST_NAMES]
            marks = ",".join("?" * len(some))
            query = f"SELECT * FROM rows WHERE {ENTITY} IN ({marks})"
            cursor = db.execute(query, list(some))
            names = [column[0] for column in cursor.description]
            found.update((row[0], dict(zip(names, row, strict=True))) for row in cursor)
        return found

    def file(self, place: PurePosixPath) -> Path | None:
        """Return the file of a generation; see :class:`Store`."""
        return self.path(place)

    def drop(self, place: PurePosixPath) -> None:
        """Remove the file; see :class:`Store`."""
        path = self.path(place)
        link = path.with_name("predictions.db")
        with contextlib.suppress(OSError):
            if str(link.readlink()) == path.name:
                link.unlink()
        for name in (path.name, f"{path.name}-journal", f"{path.name}.link"):
            path.with_name(name).unlink(missing_ok=True)

    def _kept(self, place: PurePosixPath) -> sqlite3.Connection:
        """Return this thread's open file of a generation; opening takes ten times a look-up."""
        kept: OrderedDict[PurePosixPath, sqlite3.Connection]
        kept = self._local.__dict__.setdefault("kept", OrderedDict())
        db = kept.get(place)
        if db is None:
            db = kept[place] = self._open(place)
            if len(kept) > MOST_OPEN:
                kept.popitem(last=False)[1].close()
        else:
            kept.move_to_end(place)
        return db

    def _open(self, place: PurePosixPath) -> sqlite3.Connection:
        """Open a complete generation for reading; raises NotFound."""
        path = self.path(place)
        gone = NotFound(f"generation {place.name}: is not kept here any more")
        if not path.exists():
            raise gone
        # Nobody writes to a complete file, so that its locks and its log need not be looked at.
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            is_whole = "SELECT 1 FROM sqlite_master WHERE type = 'view' AND name = 'predictions'"
            if db.execute(is_whole).fetchone() is None:
                raise gone
        except BaseException as error:
            db.close()
            if isinstance(error, sqlite3.Error):
                raise HubFault(f"{path}: cannot be read; {error}") from error
            raise
        return db


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file and run the block as one transaction; raises HubFault for what SQLite raises."""
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as db:
            db.execute(f"PRAGMA cache_size = -{CACHE_KB}")
            # Emptied and not removed after each part: the folder need not be synced, too.
            db.execute("PRAGMA journal_mode = TRUNCATE")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise HubFault(f"{path}: predictions cannot be written; {error}") from error


def insert_rows(db: sqlite3.Connection, batch: pa.RecordBatch) -> None:
    """Insert the rows of a batch into the table ``rows``."""
    width, count = batch.num_columns, batch.num_rows
    step = max(1, min(MOST_ROWS, MOST_VARIABLES // width))
    row = f"({','.join('?' * width)})"
    lists = [column.to_pylist() for column in batch.columns]
    flat = list(itertools.chain.from_iterable(zip(*lists, strict=True)))
    whole = count - count % step
    several = (flat[i : i + step * width] for i in range(0, whole * width, step * width))
    db.executemany(f"INSERT INTO rows VALUES {','.join([row] * step)}", several)
    single = (flat[i : i + width] for i in range(whole * width, count * width, width))
    db.executemany(f"INSERT INTO rows VALUES {row}", single)
