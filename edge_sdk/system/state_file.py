"""The file ``device.db``: its tables, how it is opened, and what is done when it is damaged.

Invariant: a damaged file is never deleted and never written: it is renamed, and another one begun.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from edge_sdk.errors import StateError

SCHEMA_VERSION: Final = 7
LOG_PAGES: Final = 64
"""Pages of the write-ahead log that are written back together. A log that grows makes the file
system write its size, too, with every commit: a short one soon stops, and wears a card less."""

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
_OUTBOX: Final = """
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    bytes INTEGER NOT NULL
);
"""
_CHECK: Final = "ALTER TABLE outbox ADD COLUMN crc INTEGER;"
"""CRC-32 of the body; NULL for messages of older software."""
_BUCKET: Final = "ALTER TABLE waiting ADD COLUMN bucket INTEGER NOT NULL DEFAULT 255;"
"""Of the key that a prediction was made for; 255 for none."""

_MODEL: Final = "ALTER TABLE failure ADD COLUMN model TEXT NOT NULL DEFAULT '';"

_SCHEMA: Final = f"""
CREATE TABLE value (name TEXT PRIMARY KEY, content TEXT NOT NULL);
{_OUTBOX}
CREATE TABLE failure (
    release TEXT PRIMARY KEY,
    serial INTEGER NOT NULL,
    reason TEXT NOT NULL,
    experiment TEXT
);
{_WAITING}
{_GROUPS}
{_CHECK}
{_BUCKET}
{_MODEL}
"""
_MIGRATIONS: Final = {
    1: "ALTER TABLE failure ADD COLUMN experiment TEXT;",
    2: _WAITING,
    3: _GROUPS,
    4: _CHECK,
    5: _BUCKET,
    6: _MODEL,
}
"""Statements that bring a database of an older version to the next one."""

CHECKED_BYTES: Final = 1 << 20
"""A database up to this size is checked whole when it is opened, in about a millisecond."""

_PROBE_BYTES: Final = 64 << 10
"""Room that opening a database and a small transaction take."""

DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
NO_DISK: Final = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
)  # fmt: skip


def kind_of_trouble(error: sqlite3.Error) -> int:
    """Return SQLite's primary code of ``error``; 0 if it has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def open_file(path: Path) -> sqlite3.Connection:
    """Open the database at ``path``, or create it.

    Raises:
        sqlite3.Error: it is damaged, or the disk cannot be written.
        StateError: newer software wrote it.
    """
    db = _connect(str(path))
    try:
        # WAL lets readers go on while one writes; FULL waits for the disk at every commit, which
        # WAL alone (NORMAL) does not: the last transactions would be lost with the power.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        _migrate(db, path)
        # Where its log cannot be written SQLite opens a database that can only be read.
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
        if path.stat().st_size <= CHECKED_BYTES:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _corrupt(found)
    except BaseException:
        db.close()
        raise
    return db


def open_in_memory(path: Path, source: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """Return a database in memory with what ``source`` or the file at ``path`` holds.

    A file that cannot be read counts as empty.
    """
    memory = _connect(":memory:")
    with contextlib.suppress(sqlite3.Error):
        if source is not None:
            source.backup(memory)
        else:
            _read_into(path, memory)
    try:
        _migrate(memory, path)
    except sqlite3.Error:  # what was read is damaged
        memory.close()
        memory = _connect(":memory:")
        _migrate(memory, path)
    return memory


def _read_into(path: Path, memory: sqlite3.Connection) -> None:
    # Without its log (-wal, -shm) a read-only file is readable only if it is called immutable.
    for how in ("mode=ro", "immutable=1"):
        uri = f"file:{quote(str(path))}?{how}"
        with contextlib.suppress(sqlite3.Error):
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as disk:
                disk.backup(memory)
            if memory.execute("PRAGMA user_version").fetchone() != (0,):
                return


def set_aside(path: Path) -> Path:
    """Rename ``path`` so that another file can take its place; an earlier one goes.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged")
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    path.replace(aside)
    return aside


def check_room(folder: Path) -> None:
    """Find out whether ``folder`` takes a small file now.

    Raises:
        OSError: it is full, read-only, or not ours.
    """
    probe = folder / ".room"
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            view = memoryview(bytes(_PROBE_BYTES))
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _connect(where: str) -> sqlite3.Connection:
    db = sqlite3.connect(where, isolation_level=None, check_same_thread=False)
    # A text that the disk has damaged is read too: whoever reads it checks it, and sees which.
    db.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
    return db


def _corrupt(found: str) -> sqlite3.Error:
    error = sqlite3.DatabaseError(found)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    # Each step and its version are one transaction: a cut leaves the one before, or it.
    if version == 0:
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    while 0 < version < SCHEMA_VERSION:
        step = _MIGRATIONS[version]
        version += 1
        db.executescript(f"BEGIN; {step} PRAGMA user_version = {version}; COMMIT;")
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path}: expected schema {SCHEMA_VERSION} or older, got {version}; update edge_sdk. "
            "If no newer one was ever here the file is damaged: move it away, and the device goes "
            "on from device.copy.json"
        )
