"""Pack hits beside a dict, LMDB, SQLite and diskcache, interleaved, on random keys."""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import diskcache
import lmdb
import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import each, rounds
from edge_sdk import EdgeDevice
from edge_sdk.keys import Canonicaliser
from edge_sdk.pack import Pack
from edge_sdk.pack_writer import write_pack
from edge_sdk.release import Release

LOOKUPS: Final = 2_000
DISKCACHE_ENTRIES: Final = 100_000
"""diskcache takes half a millisecond to store an entry; larger tables are left out for it."""

Look = Callable[[bytes], Any]


def measure(release: Release, folder: Path, entries: int, seconds: float) -> dict[str, float]:
    """Median microseconds of a hit, of a cold one, end to end; bytes an entry; ms to open."""
    random = np.random.default_rng(entries)
    rows = _rows(release, random)
    key_of = Canonicaliser(release.manifest.signature).key
    asked = [key_of(row.tobytes()) for row in rows]
    keys = _keys(asked, entries, random)
    values = random.random((entries, len(release.manifest.signature.classes)), dtype=np.float32)
    path = folder / f"{entries}.pack"
    write_pack(path, release, keys, {"probabilities": values}, answered_by="benchmark")
    found = _of_file(release, path, rows, asked)
    with ExitStack() as stack:
        looks = dict(_peers(folder / str(entries), keys, values, stack))
        pack = stack.enter_context(Pack.open(path, release))
        device = stack.enter_context(EdgeDevice.offline(release.folder, pack=path))
        looks["pack"] = pack.get
        timed = rounds(looks, asked, seconds=seconds, between=lambda _: None)
        found |= {name: timing.p50 for name, timing in timed.items()}
        whole = rounds({"predict": device.predict}, rows, seconds=1.0, between=lambda _: None)
        assert device.predict(rows[0]).source == "pack"
        found |= {"predict": whole["predict"].p50, "predict p99": whole["predict"].p99}
    shutil.rmtree(folder / str(entries))
    path.unlink()
    return found


def _rows(release: Release, random: np.random.Generator) -> list[NDArray[np.float32]]:
    width = len(release.manifest.signature.columns)
    return list(random.integers(0, 17, (LOOKUPS, width)).astype(np.float32))


def _keys(asked: list[bytes], entries: int, random: np.random.Generator) -> NDArray[np.uint8]:
    keys = random.integers(0, 256, (entries, 16), dtype=np.uint8)
    keys[:LOOKUPS] = np.frombuffer(b"".join(asked), np.uint8).reshape(-1, 16)
    return keys


def _of_file(release: Release, path: Path, rows: list[Any], asked: list[bytes]) -> dict[str, float]:
    opened = []
    for _ in range(9):
        started = time.perf_counter()
        Pack.open(path, release).close()
        opened.append((time.perf_counter() - started) * 1e3)
    _forget(path)
    with Pack.open(path, release) as pack:
        cold = float(np.median(each(pack.get, asked[:200])))
    size = path.stat().st_size / max(1, len_of(path))
    return {"open ms": statistics.median(opened), "cold": cold, "bytes an entry": size}


def len_of(path: Path) -> int:
    """How many entries a pack holds."""
    with Pack.open(path) as pack:
        return len(pack)


def _forget(path: Path) -> None:
    """Ask the kernel to drop the file from its page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _peers(
    folder: Path, keys: NDArray[np.uint8], values: NDArray[np.float32], stack: ExitStack
) -> Iterator[tuple[str, Look]]:
    folder.mkdir()
    pairs = [(k.tobytes(), v.tobytes()) for k, v in zip(keys, values, strict=True)]
    yield "dict", dict(pairs).get
    environment = lmdb.open(str(folder / "lmdb"), map_size=1 << 34)
    stack.callback(environment.close)
    with environment.begin(write=True) as transaction:
        transaction.cursor().putmulti(sorted(pairs))
    reading = stack.enter_context(environment.begin())
    yield "LMDB", reading.get
    database = _sqlite(folder / "table.db", pairs)
    stack.callback(database.close)
    query = "SELECT value FROM answers WHERE key = ?"
    yield "SQLite", lambda key: database.execute(query, (key,)).fetchone()
    if len(pairs) <= DISKCACHE_ENTRIES:
        cache = stack.enter_context(diskcache.Cache(str(folder / "cache")))
        for key, value in pairs:
            cache[key] = value
        yield "diskcache", cache.get


def _sqlite(path: Path, pairs: list[tuple[bytes, bytes]]) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute("PRAGMA mmap_size = 2147483648")
    db.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
    db.executemany("INSERT INTO answers VALUES (?, ?)", sorted(pairs))
    db.commit()
    return db
