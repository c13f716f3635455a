"""Stores that applications keep answers in: dict, LMDB, SQLite, diskcache, tuned for reading.

Invariants:

* Each store holds the same 16-byte keys and the same float32 values as the pack beside it.
* ``get`` gives an array, as ``Pack.get`` does, so that all do the same work.
* A store that is opened holds nothing in memory but what its own library keeps.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.keys import key_of

Get = Callable[[bytes], NDArray[np.float32] | None]
Pairs = Iterator[tuple[bytes, bytes]]
_CHUNK: Final = 100_000


class Store(Protocol):
    """An open store."""

    get: Get

    @classmethod
    def write(cls, path: Path, pairs: Pairs, count: int) -> None:
        """Write a store.

        Args:
            path: file or folder to make.
            pairs: key and value, sorted by key.
            count: number of pairs.
        """

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open what :meth:`write` made, for reading."""

    def close(self) -> None:
        """Let go of every file."""


class Sqlite:
    """SQLite, the key as clustered primary key (``WITHOUT ROWID``), the file memory-mapped."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        execute, read = db.execute, np.frombuffer
        query = "SELECT value FROM answers WHERE key = ?"

        def get(key: bytes) -> NDArray[np.float32] | None:
            row = execute(query, (key,)).fetchone()
            return None if row is None else read(row[0], np.float32)

        self.get: Get = get

    @classmethod
    def write(cls, path: Path, pairs: Pairs, count: int) -> None:
        """Fill one table in the order of its keys, in one transaction; see :class:`Store`."""
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        db.executemany("INSERT INTO answers VALUES (?, ?)", pairs)
        db.commit()
        db.close()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read-only and immutable, so that no lock is taken; mapped as far as SQLite maps."""
        db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        db.execute(f"PRAGMA mmap_size = {1 << 40}")
        return cls(db)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class Lmdb:
    """LMDB, one read transaction for all lookups, values not copied before they are arrays."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._transaction = environment.begin(buffers=True)
        find, read = self._transaction.get, np.frombuffer

        def get(key: bytes) -> NDArray[np.float32] | None:
            value = find(key)
            return None if value is None else read(value, np.float32).copy()

        self.get: Get = get

    @classmethod
    def write(cls, path: Path, pairs: Pairs, count: int) -> None:
        """Append in the order of the keys; see :class:`Store`."""
        import lmdb

        size = (64 << 20) + 200 * count
        with lmdb.open(str(path), map_size=size, sync=False) as environment:
            with environment.begin(write=True) as transaction:
                transaction.cursor().putmulti(pairs, append=True)
            environment.sync(True)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read-only, without a lock."""
        import lmdb

        return cls(lmdb.open(str(path), readonly=True, lock=False))

    def close(self) -> None:
        """End the transaction and unmap."""
        self._transaction.abort()
        self._environment.close()


class DiskCache:
    """diskcache, without eviction and without counting."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        find, read = cache.get, np.frombuffer

        def get(key: bytes) -> NDArray[np.float32] | None:
            value = find(key)
            return None if value is None else read(value, np.float32)

        self.get: Get = get

    @classmethod
    def write(cls, path: Path, pairs: Pairs, count: int) -> None:
        """Write in transactions of many pairs; see :class:`Store`."""
        from diskcache import Cache

        cache = Cache(str(path), eviction_policy="none", sqlite_synchronous=0)
        left = count
        while left > 0:
            with cache.transact():
                for key, value in _some(pairs, min(_CHUNK, left)):
                    cache.set(key, value)
            left -= _CHUNK
        cache.close()

    @classmethod
    def open(cls, path: Path) -> Self:
        """As it was written."""
        from diskcache import Cache

        return cls(Cache(str(path)))

    def close(self) -> None:
        """Close its database."""
        self._cache.close()


def _some(pairs: Pairs, count: int) -> Pairs:
    for _ in range(count):
        yield next(pairs)


def dict_get(pairs: Pairs) -> Get:
    """Everything in one dict: the lower bound, at the price of memory."""
    table = dict(pairs)
    find, read = table.get, np.frombuffer

    def get(key: bytes) -> NDArray[np.float32] | None:
        value = find(key)
        return None if value is None else read(value, np.float32)

    return get


def from_row(get: Get, prefix: bytes) -> Callable[[NDArray[np.float32]], int]:
    """Return the code that an application writes around ``get``: row to key to answer to class.

    ``prefix`` goes before the row's bytes into its key, so that the keys are those of the pack.
    """

    def look_up(row: NDArray[np.float32]) -> int:
        scores = get(key_of(prefix + row.tobytes()))
        assert scores is not None
        return int(scores.argmax())

    return look_up


@dataclass(frozen=True)
class Kind:
    """A store by name; ``most`` entries are what it can be filled with in reasonable time."""

    name: str
    store: type[Sqlite] | type[Lmdb] | type[DiskCache]
    most: int


KINDS: Final = (
    Kind("LMDB", Lmdb, 100_000_000),
    Kind("SQLite WITHOUT ROWID, mmap", Sqlite, 100_000_000),
    Kind("diskcache", DiskCache, 1_000_000),
)


def drop_from_memory(path: Path) -> None:
    """Ask the kernel to forget its cached pages of ``path``, or of every file below it."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def size_of(path: Path) -> int:
    """Bytes on the disk of ``path``, or of every file below it."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_blocks * 512 for file in files)


def remove(path: Path) -> None:
    """Remove ``path``, a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
