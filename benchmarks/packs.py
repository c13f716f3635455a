"""A pack lookup beside a dict and an SQLite table, interleaved, warm."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.pack import Pack
from edge_sdk.pack_writer import write_pack
from edge_sdk.release import Release

ROUNDS, LOOKUPS = 9, 2_000


def measure(release: Release, folder: Path, entries: int) -> dict[str, float]:
    """Median microseconds of a hit in a pack, a dict and SQLite; bytes an entry; ms to open."""
    random = np.random.default_rng(0)
    keys = random.integers(0, 256, (entries, 16), dtype=np.uint8)
    classes = len(release.manifest.signature.classes)
    values = random.random((entries, classes), dtype=np.float32)
    path = folder / f"{entries}.pack"
    write_pack(path, release, keys, {"probabilities": values}, answered_by="benchmark")
    started = time.perf_counter()
    pack = Pack.open(path, release)
    open_ms = (time.perf_counter() - started) * 1e3
    raw = [key.tobytes() for key in keys]
    table = {key: value.tobytes() for key, value in zip(raw, values, strict=True)}
    asked = [raw[i] for i in random.integers(0, entries, LOOKUPS)]
    database = _sqlite(folder / f"{entries}.db", table)
    query = "SELECT value FROM answers WHERE key = ?"
    peers: dict[str, Callable[[bytes], Any]] = {
        "pack": pack.get,
        "dict": table.get,
        "sqlite": lambda key: database.execute(query, (key,)).fetchone(),
    }
    found: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, look in peers.items():
            found[name].append(_time(look, asked))
    database.close()
    pack.close()
    medians = {f"{name}_us": statistics.median(times) for name, times in found.items()}
    return {**medians, "bytes_per_entry": path.stat().st_size / entries, "open_ms": open_ms}


def _time(look: Callable[[bytes], Any], asked: list[bytes]) -> float:
    started = time.perf_counter()
    for key in asked:
        look(key)
    return (time.perf_counter() - started) / len(asked) * 1e6


def _sqlite(path: Path, table: dict[bytes, bytes]) -> sqlite3.Connection:
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path)
    db.execute("PRAGMA mmap_size = 2147483648")
    db.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
    db.executemany("INSERT INTO answers VALUES (?, ?)", table.items())
    db.commit()
    return db
