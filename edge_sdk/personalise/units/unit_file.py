"""The states of units on the disk: one SQLite file of a model.

Invariants:

* A unit is a row by a keyed hash of its name, never the name; without the secret of the state
  folder nobody can tell whose row it is.
* What is deleted is overwritten (``secure_delete``), and its log is emptied with it: no byte of a
  forgotten unit is left in the file or beside it.
* The rows are bounded; the ones that learned nothing for longest go.
* A row that the disk has damaged (its checksum differs) is dropped. A damaged file is removed, for
  a copy that is set aside would keep what somebody wants forgotten.
* A disk that takes nothing costs no answer: :attr:`UnitFile.trouble` says why, and it is tried
  again.

Readers have a connection of their own: in WAL mode a look-up never waits for a writer.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

from edge_sdk.errors import reason_of
from edge_sdk.system.files import make_folder
from edge_sdk.system.logs import Log
from edge_sdk.system.state_file import DAMAGED, kind_of_trouble

_log = Log(__name__)

VERSION: Final = 1
"""Of the tables. A file of another version is begun anew: it holds what devices learn again."""

RETRY_SECONDS: Final = 60.0
"""Seconds after which a disk that took nothing is tried again."""

PAGE: Final = 256
"""Units that are read at a time where all are read."""

_SCHEMA: Final = f"""
BEGIN;
CREATE TABLE unit (
    key BLOB NOT NULL,
    space TEXT NOT NULL,
    learned INTEGER NOT NULL,
    state BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (key, space)
) WITHOUT ROWID;
CREATE INDEX unit_learned ON unit (learned);
CREATE TABLE note (name TEXT PRIMARY KEY, content BLOB NOT NULL);
PRAGMA user_version = {VERSION};
COMMIT;
"""


class StoredUnit(NamedTuple):
    """A unit's state as it is stored.

    Attributes:
        key: keyed hash of its name.
        space: what the state belongs to, such as the digest of a basis.
        learned: when it learned last, Unix seconds.
        state: bytes.
    """

    key: bytes
    space: str
    learned: int
    state: bytes

    @property
    def checksum(self) -> int:
        """Return the checksum of the row."""
        return crc32(self.state, crc32(self.space.encode(), crc32(self.key)))


class UnitFile:
    """States of units by key and space in one file.

    Any thread may read; whoever writes or forgets holds a lock of the caller's meanwhile.

    Attributes:
        trouble: why the disk takes nothing now; ``None`` where it does.
        damaged: rows that were dropped because the disk had damaged them.

    Args:
        path: of the file; its folder is made.
        most: rows at most.
        owner: hash that only the holder of the secret can make. Rows of another secret cannot be
            found by a name any more, so they are removed.
    """

    trouble: str | None

    def __init__(self, path: Path, most: int, owner: bytes) -> None:
        self.path, self.trouble, self.damaged = path, None, 0
        self._most, self._owner = most, owner
        self._reading = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._count, self._tried = 0, -RETRY_SECONDS
        self._torn = self._closed = False
        self._bad: set[tuple[bytes, str]] = set()
        self._try(lambda db: None)

    @property
    def rows(self) -> int:
        """Return the number of states in it, about."""
        return self._count

    def read(self, key: bytes, space: str) -> StoredUnit | None:
        """Return a unit's state; ``None`` if none is stored, or it cannot be read."""
        if not self._count:
            return None
        sql = "SELECT learned, state, checksum FROM unit WHERE key = ? AND space = ?"
        try:
            with self._reading:
                found = self._reader.execute(sql, (key, space)).fetchall() if self._reader else []
        except sqlite3.Error as error:
            self._torn = self._torn or kind_of_trouble(error) in DAMAGED
            return None
        return self._checked(key, space, *found[0]) if found else None

    def page(self, space: str, after: bytes) -> list[StoredUnit]:
        """Return the next units of a space, some hundreds, by key; none at the end."""
        sql = (
            "SELECT key, learned, state, checksum FROM unit WHERE key > ? AND space = ?"
            f" ORDER BY key LIMIT {PAGE}"
        )
        found: list[tuple[bytes, Any, Any, Any]] = []
        self._try(lambda db: found.extend(db.execute(sql, (after, space)).fetchall()))
        units = (self._checked(bytes(key), space, *rest) for key, *rest in found)
        return [unit for unit in units if unit is not None]

    def _checked(
        self, key: bytes, space: str, learned: Any, state: Any, checksum: Any
    ) -> StoredUnit | None:
        """Return a row as a unit; ``None`` if the disk has damaged it, and then it is dropped."""
        if isinstance(state, bytes) and isinstance(learned, int):
            unit = StoredUnit(key, space, learned, state)
            if unit.checksum == checksum:
                return unit
        if (key, space) not in self._bad:
            self._bad.add((key, space))
            self.damaged += 1
            _log.warning("%s: a unit's state is damaged on the disk; it begins anew", self.path)
        return None

    def write(self, units: Iterable[StoredUnit]) -> bool:
        """Store states; return whether the disk took them. Beyond the bound the oldest rows go."""
        rows = [(*unit, unit.checksum) for unit in units]
        bad = tuple(self._bad)

        def store(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("DELETE FROM unit WHERE key = ? AND space = ?", bad)
            db.executemany("INSERT OR REPLACE INTO unit VALUES (?, ?, ?, ?, ?)", rows)
            self._count = int(db.execute("SELECT count(*) FROM unit").fetchone()[0])
            if self._count > self._most:
                # Some more than needed, so that not every writing has to look for the oldest.
                surplus = self._count - self._most + self._most // 64
                db.execute(
                    "DELETE FROM unit WHERE (key, space) IN"
                    " (SELECT key, space FROM unit ORDER BY learned LIMIT ?)",
                    (surplus,),
                )
                self._count -= surplus
            db.execute("COMMIT")
            self._bad.difference_update(bad)

        return self._try(store)

    def forget(self, keys: Iterable[bytes]) -> int | None:
        """Delete units in every space, so that nothing of them is left on the disk.

        Returns:
            How many rows that were; ``None`` where the disk does not take the change.
        """
        rows = [(key,) for key in keys]
        removed = 0

        def delete(db: sqlite3.Connection) -> None:
            nonlocal removed
            removed = db.executemany("DELETE FROM unit WHERE key = ?", rows).rowcount
            self._count = max(0, self._count - removed)
            # Waits for readers, a moment each; nobody who looks something up waits for this.
            (busy, *_) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise sqlite3.OperationalError("its log is in use by another program")

        return removed if self._try(delete) else None

    def spaces(self) -> dict[str, int]:
        """Return the number of units by space."""
        counts: dict[str, int] = {}

        def count(db: sqlite3.Connection) -> None:
            counts.update(db.execute("SELECT space, count(*) FROM unit GROUP BY space").fetchall())

        self._try(count)
        return counts

    def note(self, name: str) -> bytes | None:
        """Return what was noted under ``name``."""
        found: list[tuple[bytes]] = []
        sql = "SELECT content FROM note WHERE name = ?"
        self._try(lambda db: found.extend(db.execute(sql, (name,)).fetchall()))
        return bytes(found[0][0]) if found else None

    def put_note(self, name: str, content: bytes) -> None:
        """Note bytes under ``name``."""
        sql = "INSERT OR REPLACE INTO note VALUES (?, ?)"
        self._try(lambda db: db.execute(sql, (name, content)))

    def close(self) -> None:
        """Close it; nothing is stored afterwards."""
        self._closed = True
        self._disconnect()

    def _try(self, do: Callable[[sqlite3.Connection], object]) -> bool:
        """Call ``do`` with the connection that writes; return whether the disk let it."""
        if self._closed:
            return False
        try:
            if self._torn:
                self._begin_anew("a look-up found it damaged")
            do(self._connected())
        except (OSError, sqlite3.Error) as error:
            self._note_trouble(error)
            return False
        if self.trouble is not None:
            _log.info("%s: the disk takes the states of units again", self.path)
            self.trouble = None
        return True

    def _note_trouble(self, error: OSError | sqlite3.Error) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._writer is not None and self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error) and kind_of_trouble(error) in DAMAGED:
            self._torn = True  # removed as soon as it is needed again
        if self.trouble is None:
            _log.warning(
                "%s: the disk takes no states of units (%s); they are in memory for now, and what "
                "does not fit there is lost",
                self.path,
                reason_of(error),
            )
        self.trouble = reason_of(error)

    def _begin_anew(self, reason: str) -> None:
        _log.warning("%s: damaged (%s); removed, and its units begin anew", self.path, reason)
        self._disconnect()
        self._remove()
        self.damaged += 1
        self._torn, self._count, self._tried = False, 0, -RETRY_SECONDS

    def _remove(self) -> None:
        # The log first: without its file it would be taken for that of the next one.
        for end in ("-wal", "-shm", ""):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)

    def _disconnect(self) -> None:
        with self._reading:
            for db in (self._reader, self._writer):
                if db is not None:
                    db.close()
            self._reader = self._writer = None

    def _connected(self) -> sqlite3.Connection:
        """Return the connection that writes, opened again where enough time has passed."""
        if self._writer is None:
            if time.monotonic() - self._tried < RETRY_SECONDS:
                raise OSError(self.trouble or "it could not be opened")
            self._tried = time.monotonic()
            self._connect()
        assert self._writer is not None
        return self._writer

    def _connect(self) -> None:
        make_folder(self.path.parent)
        self.path.touch(mode=0o600)
        writer = _opened(self.path)
        try:
            (version,) = writer.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                writer.close()
                self._remove()
                writer, version = _opened(self.path), 0
            if version == 0:
                writer.executescript(_SCHEMA)
            (self._count,) = writer.execute("SELECT count(*) FROM unit").fetchone()
            owner = writer.execute("SELECT content FROM note WHERE name = 'owner'").fetchone()
            if owner is None or bytes(owner[0]) != self._owner:
                self._disown(writer)
            self._reader = _opened(self.path)
        except BaseException:
            writer.close()
            raise
        self._writer = writer

    def _disown(self, db: sqlite3.Connection) -> None:
        """Remove rows that no name finds any more; the file is this secret's from now on."""
        db.execute("DELETE FROM unit")
        db.execute("INSERT OR REPLACE INTO note VALUES ('owner', ?)", (self._owner,))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._count = 0


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # A power cut may take the newest labels of a unit; it never tears the file.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")
    except BaseException:
        db.close()
        raise
    return db
