"""The device's own database: identity, floors, update state, and the messages that wait.

Invariants:

* One process owns a state folder: it holds a lock on it for as long as it is open.
* Every write is one transaction that is on the disk when the call returns (``synchronous=FULL``),
  so a power cut loses nothing that was acknowledged and shows nothing half-done.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from edge_sdk.errors import StateError, reason_of
from edge_sdk.system.files import make_folder
from edge_sdk.validation import path_of

SCHEMA_VERSION: Final = 4
_WAITING: Final = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL,
    number INTEGER NOT NULL,
    window TEXT NOT NULL,
    source INTEGER NOT NULL,
    answer TEXT NOT NULL,
    own TEXT NOT NULL,
    state INTEGER NOT NULL,
    UNIQUE (tag, number)
);
"""
_GROUPS: Final = "ALTER TABLE waiting ADD COLUMN groups TEXT NOT NULL DEFAULT '[]';"
_SCHEMA: Final = f"""
CREATE TABLE value (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE TABLE failure (
    release TEXT PRIMARY KEY,
    serial INTEGER NOT NULL,
    reason TEXT NOT NULL,
    experiment TEXT
);
{_WAITING}
{_GROUPS}
"""
_MIGRATIONS: Final = {
    1: "ALTER TABLE failure ADD COLUMN experiment TEXT;",
    2: _WAITING,
    3: _GROUPS,
}
"""Statements that bring a database of an older version to the next one."""


class StateDatabase:
    """The database ``device.db`` in the state folder, and the lock on that folder."""

    def __init__(self, folder: str | Path) -> None:
        """Open or create it.

        Raises:
            StateError: another process has it open, it is not writable, or of another schema.
        """
        self.folder = path_of("state", folder, StateError)
        self._guard = threading.RLock()
        try:
            # The folder holds the device's token, and it may hold rows that wait to be shared.
            make_folder(self.folder)
            self.folder.chmod(0o700)
            self._lock_file = _lock(self.folder)
            try:
                self._db = _open(self.folder / "device.db")
            except BaseException:
                self._lock_file.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"{self.folder}: cannot use it as a state folder; {reason_of(error)}"
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed when the block ends, undone if it raises.

        Raises:
            StateError: the disk is full or the database is damaged.
        """
        with self._guard:
            try:
                if self._db.in_transaction:  # joins the one that is open in this thread
                    yield self._db
                    return
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StateError(f"{self.folder}: cannot write device.db; {error}") from error

    def get(self, name: str) -> Any:
        """Return the JSON value under ``name``, or ``None``."""
        rows = self.query("SELECT content FROM value WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value under ``name``."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO value VALUES (?, ?)", (name, json.dumps(value)))

    def query(self, sql: str, *arguments: Any) -> list[Any]:
        """Return the rows of a SELECT."""
        with self._guard:
            try:
                return self._db.execute(sql, arguments).fetchall()
            except sqlite3.Error as error:
                raise StateError(f"{self.folder}: cannot read device.db; {error}") from error

    def close(self) -> None:
        """Close the database and give up the lock."""
        with self._guard:
            self._db.close()
            self._lock_file.close()


def _lock(folder: Path) -> IO[bytes]:
    file = (folder / "lock").open("wb")
    try:
        # The kernel drops the lock with the process, however that ends: no stale lock file.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StateError(
            f"{folder}: another process uses this state folder; give each device its own"
        ) from error
    return file


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # WAL lets readers go on while one writes; FULL waits for the disk at every commit, which
        # WAL alone (NORMAL) does not: the last transactions would be lost with the power.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        # Each step and its version are one transaction: a cut leaves the one before, or it.
        if version == 0:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        while 0 < version < SCHEMA_VERSION:
            step = _MIGRATIONS[version]
            version += 1
            db.executescript(f"BEGIN; {step} PRAGMA user_version = {version}; COMMIT;")
        if version > SCHEMA_VERSION:
            raise StateError(f"{path}: expected schema {SCHEMA_VERSION} or older, got {version}")
    except BaseException:
        db.close()
        raise
    return db
