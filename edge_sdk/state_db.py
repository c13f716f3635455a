"""The device's own database: identity, floors, update state, and the messages that wait.

Invariants:

* One process owns a state folder: it holds a lock on it for as long as it is open.
* Every write is one transaction that is on the disk when the call returns (``synchronous=FULL``),
  so a power cut loses nothing that was acknowledged and shows nothing half-done. Where the disk
  takes nothing (full, read-only), the database goes on in memory, says so (:meth:`health`), and
  is written back by :meth:`return_to_disk`.
* What a device cannot get again (:data:`KEPT`) is there twice, in ``device.db`` and in
  ``device.copy.json``. No one damaged file loses it or lowers a floor: the newer sound copy counts.
* A damaged database is set aside as ``device.db.damaged`` and another one begun from the copy.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edge_sdk.errors import DeviceInUse, StateError, reason_of
from edge_sdk.system.files import make_folder
from edge_sdk.system.kept_copy import Kept, read_kept, write_kept
from edge_sdk.system.logs import Log
from edge_sdk.system.operating_system import FolderInUse, FolderLock, lock_folder
from edge_sdk.system.owner_file import who_has
from edge_sdk.system.state_file import (
    DAMAGED,
    NO_DISK,
    check_room,
    kind_of_trouble,
    open_file,
    open_in_memory,
    set_aside,
)
from edge_sdk.system.state_transaction import Statements, StateTransaction, replay
from edge_sdk.validation import path_of

_log = Log(__name__)

KEPT: Final = frozenset({"hub", "root", "trust_floors", "plan", "update"})
"""Values that are there twice, by the last part of their name; the identity sees to its own second
copy."""

_GENERATION: Final = "generation"
"""Number of the last change of a value of :data:`KEPT`."""

_DATABASE, _COPY = "device.db", "device.copy.json"


class StateDatabase:
    """The database ``device.db`` in the state folder, and the lock on that folder."""

    def __init__(self, folder: str | Path) -> None:
        """Open or create it.

        Raises:
            DeviceInUse: another process has it open.
            StateError: it cannot be created, or is of newer software.
        """
        self.folder = path_of("state", folder, StateError)
        self._path, self._copy = self.folder / _DATABASE, self.folder / _COPY
        self._guard = threading.RLock()
        self._damaged: dict[str, str] = {}
        self._no_disk: str | None = None
        self._kept: Kept = Kept(0, {})
        self._changed = False
        self._statements: Statements = []
        try:
            # The folder holds the device's token, and it may hold rows that wait to be shared.
            make_folder(self.folder)
            with contextlib.suppress(OSError):  # on a read-only disk it stays as it is
                self.folder.chmod(0o700)
            self._lock: FolderLock | None = lock_folder(self.folder)
        except FolderInUse:
            raise DeviceInUse(f"{self.folder}: {who_has(self.folder)}") from None
        except OSError as error:
            raise StateError(
                f"{self.folder}: cannot use it as a state folder; {reason_of(error)}. Give the "
                "device a folder that it may read and write"
            ) from error
        try:
            self._db = self._open()
            self._reconcile()
        except BaseException:
            self._lock.close()
            raise

    @property
    def on_disk(self) -> bool:
        """Return whether what is stored outlives the process; else it is in memory for now."""
        return self._no_disk is None

    @property
    def _closed(self) -> bool:
        return self._lock is None

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StateError(f"{self.folder}: the device is closed")

    def health(self) -> dict[str, Any]:
        """Return where the state is (``disk`` or ``memory``), why, and what was found damaged."""
        return {
            "state": "disk" if self.on_disk else "memory",
            "reason": self._no_disk,
            "damaged": dict(self._damaged),
        }

    @contextlib.contextmanager
    def transaction(self) -> Iterator[StateTransaction]:
        """A write transaction: committed when the block ends, undone if it raises.

        Raises:
            StateError: the database was damaged and begun anew: this transaction is not in it.
        """
        with self._guard:
            self._refuse_if_closed()
            if self._db.in_transaction:  # joins the one that is open in this thread
                yield self._open_transaction
                return
            before = self._kept
            self._begin()
            try:
                yield self._open_transaction
                self._commit()
            except sqlite3.Error as error:
                self._kept, self._changed = before, False
                self._roll_back()
                self._mend(error)
                raise StateError(f"{self._path}: cannot be written; {error}") from error
            except BaseException:
                self._kept, self._changed = before, False
                self._roll_back()
                raise
            self._write_copy()

    def get(self, name: str) -> Any:
        """Return the JSON value under ``name``, or ``None``."""
        if _is_kept(name):
            with self._guard:
                text = self._kept.values.get(name)
                return None if text is None else json.loads(text)
        rows = self.query("SELECT content FROM value WHERE name = ?", name)
        try:
            return json.loads(rows[0][0]) if rows else None
        except ValueError:
            self._note(_DATABASE, f"its value {name!r} cannot be read, and counts as missing")
            return None

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value under ``name``; one of :data:`KEPT` in both copies."""
        text = json.dumps(value)
        sql = "INSERT OR REPLACE INTO value VALUES (?, ?)"
        with self.transaction() as db:
            db.execute(sql, (name, text))
            if _is_kept(name):
                generation = self._kept.generation + (not self._changed)
                self._kept = Kept(generation, {**self._kept.values, name: text})
                self._changed = True
                db.execute(sql, (_GENERATION, str(generation)))

    def query(self, sql: str, *arguments: Any) -> list[Any]:
        """Return the rows of a SELECT."""
        with self._guard:
            self._refuse_if_closed()
            try:
                return self._db.execute(sql, arguments).fetchall()
            except sqlite3.Error as error:
                if self._db.in_transaction or not self._mend(error):
                    raise StateError(f"{self._path}: cannot be read; {error}") from error
                return self._db.execute(sql, arguments).fetchall()

    def return_to_disk(self) -> bool:
        """Write a database in memory back to the disk, if that takes it again; whether it is there.

        Without trouble this costs nothing.
        """
        with self._guard:
            if self.on_disk or self._closed or self._db.in_transaction:
                return self.on_disk
            try:
                check_room(self.folder)
                disk = self._open_or_begin()
                try:
                    self._db.backup(disk)
                except BaseException:
                    disk.close()
                    raise
            except (OSError, sqlite3.Error) as error:
                self._no_disk = reason_of(error)
                return False
            self._db.close()
            self._db, self._no_disk = disk, None
            self._changed = True
            self._write_copy()
            _log.info("the disk takes the device's state again: %s", self.folder)
            return True

    def close(self) -> None:
        """Close the database and give up the lock."""
        with self._guard:
            if self._lock is None:
                return
            self.return_to_disk()
            self._db.close()
            self._lock.close()
            self._lock = None

    def _open(self) -> sqlite3.Connection:
        try:
            return self._open_or_begin()
        except (OSError, sqlite3.Error) as error:
            empty = not self._path.exists() or self._path.stat().st_size == 0
            if empty and not self._copy.exists():
                # Nothing is here yet: an identity that only memory holds would be lost at the end.
                raise StateError(
                    f"{self.folder}: cannot begin a state folder here; {reason_of(error)}. Give "
                    "the device a folder that it may write, with some free space"
                ) from error
            return self._in_memory(reason_of(error))

    def _open_or_begin(self) -> sqlite3.Connection:
        """Open the file; a damaged one, or a part of it, is set aside first.

        Raises:
            OSError: the disk takes nothing.
            sqlite3.Error: likewise.
        """
        # The index of the log is made anew, the log is newer than the rest: the least goes first.
        suspects = [self._path.with_name(_DATABASE + end) for end in ("-shm", "-wal", "")]
        for suspect in suspects:
            try:
                return open_file(self._path)
            except sqlite3.Error as error:
                if kind_of_trouble(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise StateError(f"{self._path}: in use by another program; {error}") from error
                check_room(self.folder)
                if os.path.lexists(suspect):
                    self._set_aside(suspect, str(error))
        return open_file(self._path)

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = set_aside(path)
        self._note(path.name, f"{reason}; set aside as {aside.name}, which may be deleted")

    def _note(self, name: str, what: str) -> None:
        if self._damaged.get(name) != what:
            _log.warning("%s: damaged: %s", self.folder / name, what)
        self._damaged[name] = what

    def _in_memory(
        self, reason: str, source: sqlite3.Connection | None = None
    ) -> sqlite3.Connection:
        _log.warning(
            "%s: the disk takes nothing (%s); the device goes on in memory, and what it learns is "
            "lost if it ends before the disk is back",
            self.folder,
            reason,
        )
        self._no_disk = reason
        return open_in_memory(self._path, source)

    def _mend(self, error: sqlite3.Error) -> bool:
        """Go on after ``error``: in memory if the disk is to blame, with a new file if it is
        damaged; whether anything could be done.
        """
        kind = kind_of_trouble(error)
        if kind in NO_DISK and self.on_disk:
            old, self._db = self._db, self._in_memory(str(error), self._db)
            old.close()
        elif kind in DAMAGED:
            self._begin_anew(str(error))
        else:
            return False
        return True

    def _begin_anew(self, reason: str) -> None:
        self._db.close()
        try:
            self._set_aside(self._path, reason)
            for end in ("-wal", "-shm"):
                self._path.with_name(_DATABASE + end).unlink(missing_ok=True)
            self._db = open_file(self._path)
        except (OSError, sqlite3.Error) as error:
            self._db = self._in_memory(reason_of(error))
        self._write_kept(self._kept)

    @property
    def _open_transaction(self) -> StateTransaction:
        return StateTransaction(lambda: self._db, self._rescue, self._statements)

    def _begin(self) -> None:
        self._statements = []
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if not self._mend(error):
                raise StateError(f"{self._path}: cannot be written; {error}") from error
            self._db.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if not self._rescue(error):
                raise
            self._db.execute("COMMIT")

    def _rescue(self, error: sqlite3.Error) -> bool:
        """Go on in memory where the disk refuses the open transaction, with all of it so far."""
        if kind_of_trouble(error) not in NO_DISK or not self.on_disk:
            return False
        self._roll_back()  # or memory would get what of it is in the pages
        self._mend(error)
        replay(self._statements, self._db)
        return True

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have undone it by itself
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _reconcile(self) -> None:
        """Take the newer sound copy of what is kept, and make both the same."""
        own = self._kept_in_database()
        try:
            copy = read_kept(self._copy)
        except (OSError, ValueError) as error:
            copy = None
            self._note(_COPY, f"{reason_of(error)}; written again from {_DATABASE}")
            with contextlib.suppress(OSError):
                if self._copy.is_dir():
                    set_aside(self._copy)
        # Of equal generations the copy counts: its checksum says that it is sound.
        if copy is not None and copy.generation >= own.generation:
            self._kept = copy
            if copy != own:
                if self._path.name not in self._damaged:
                    self._note(_DATABASE, f"it lacks what {_COPY} has, which was put back")
                self._write_kept(copy)
        else:
            self._kept, self._changed = own, own.values != {}
            self._write_copy()

    def _kept_in_database(self) -> Kept:
        """Return what the database has; generation -1 if that cannot be read."""
        try:
            rows = dict(self._db.execute("SELECT name, content FROM value").fetchall())
            values = {name: text for name, text in rows.items() if _is_kept(name)}
            for text in values.values():
                json.loads(text)
            return Kept(int(rows.get(_GENERATION, 0)), values)
        except (sqlite3.Error, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.Error):
                self._begin_anew(str(error))
            return Kept(-1, {})

    def _write_kept(self, kept: Kept) -> None:
        rows = [*kept.values.items(), (_GENERATION, str(kept.generation))]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO value VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if not self.on_disk or not self._mend(error):
                raise StateError(f"{self._path}: cannot be written; {error}") from error
            self._write_kept(kept)

    def _write_copy(self) -> None:
        """Write the copy if what is kept has changed; the disk has the database's in any case."""
        if not self._changed:
            return
        self._changed = False
        if not self.on_disk:
            return  # written with the database, when the disk is back
        try:
            write_kept(self._copy, self._kept)
        except OSError as error:
            self._note(_COPY, f"{reason_of(error)}; {_DATABASE} alone has the newest state")


def _is_kept(name: str) -> bool:
    return name.rpartition("/")[2] in KEPT
