"""Answers by entity: ``device.predict(entity=…)`` from packs, beside SQLite, and beside the hub.

Invariants:

* Packs hold ten float32 probabilities an entity, as one of as many rows does, or ranked lists of
  ten items.
* The entity's pack, the pack hit of a row, and the peers of the same entities take turns in every
  round, so that each ratio is of one moment.
* Asked are :data:`ASKED` entities spread over the whole file, again and again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_sdk.bench import goals
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import Candidate, Effort, calls_in, interleave
from edge_sdk.bench.result import OURS, Findings, GoalRow
from edge_sdk.contract.key import KEY_BYTES
from edge_sdk.contract.pack import EntityPackInfo
from edge_sdk.device import EdgeDevice
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.delta import apply_delta, write_delta
from edge_sdk.packs.entity_predictions import (
    EntityPredictions,
    EntityValues,
    entity_keys,
    joined_items,
    write_entity_predictions,
)
from edge_sdk.packs.writer import write_pack

ENTITY: Final = Goal(15, "an entity's answer end to end, p50", 3.5, "µs")
ASKED: Final = 20_000
ITEMS: Final = 30_000
TOP: Final = 10
CHANGED: Final = 20
"""One entity of so many has another answer in the next generation."""

ROW_HIT: Final = "a row's answer from a pack"
RANKED: Final = "a ranked list of ten"
SQLITE: Final = "SQLite, by name"
MODEL: Final = "the model, a row given"
Tell = Callable[[str], None]


def measure(release: Release, folder: Path, size: int, effort: Effort, tell: Tell) -> Findings:
    """Measure packs of ``size`` entities.

    Args:
        release: of ten classes.
        folder: for the packs.
        size: entities.
        effort: rounds and seconds a turn.
        tell: called with a line for each step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tell(f"packs of {size:,} entities")
    names = [f"user-{i}" for i in range(size)]
    keys = entity_keys(names)
    shares = np.random.default_rng(size).random((size, 10), dtype=np.float32)
    plain, ranked = folder / "plain.pack", folder / "ranked.pack"
    writing_s = _write(plain, release, keys, shares)
    _write_ranked(ranked, release, keys, shares)
    _fill(folder / "peer.db", names, shares)
    asked = [names[i] for i in range(0, size, max(1, size // ASKED))][:ASKED]
    tell(f"looking up among {size:,}")
    findings = _turns(release, folder, plain, ranked, asked, size, effort)
    opening = _opening_ms(plain, release.manifest.model, effort.rounds)
    claims = (
        GoalRow.of(goals.OPEN, opening, f"{size:,} entities"),
        GoalRow.of(goals.ENTRY, plain.stat().st_size / size, f"{size:,} entities"),
    )
    return findings + Findings((), claims, _facts(folder, release, keys, shares, size, writing_s))


def _turns(
    release: Release,
    folder: Path,
    plain: Path,
    ranked: Path,
    asked: list[str],
    size: int,
    effort: Effort,
) -> Findings:
    rows = _row_pack(folder / "rows.pack", release, size, len(asked))
    with contextlib.ExitStack() as stack:
        device = stack.enter_context(EdgeDevice.offline(release.folder, entities=plain))
        lists = stack.enter_context(EdgeDevice.offline(release.folder, entities=ranked))
        hits = stack.enter_context(EdgeDevice.offline(release.folder, pack=folder / "rows.pack"))
        bare = stack.enter_context(EdgeDevice.offline(release.folder))
        peer = stack.enter_context(contextlib.closing(sqlite3.connect(folder / "peer.db")))
        assert all(device.predict(entity=name).source == "pack" for name in asked)
        assert all(hits.predict(row).source == "pack" for row in rows)
        assert all(lists.predict(entity=name).ranked for name in asked)
        candidates = [
            Candidate(OURS, lambda name: device.predict(entity=name), asked),
            Candidate(RANKED, lambda name: lists.predict(entity=name), asked),
            Candidate(ROW_HIT, hits.predict, rows),
            Candidate(MODEL, bare.predict, rows),
            Candidate(SQLITE, _by_name(peer), asked),
        ]
        calls = max(calls_in(effort.turn_seconds, candidates), len(asked))
        rounds = interleave(f"entity of {size:,}", candidates, effort.rounds, calls)
    ours = next(t for t in rounds.timings if t.name == OURS)
    what = f"{size:,} entities"
    return Findings(
        rounds.timings,
        (
            GoalRow.of(ENTITY, ours.p50_us, what),
            GoalRow(15, f"the same, against {ROW_HIT}, {what}", rounds.ratio(OURS, ROW_HIT), "x"),
            GoalRow(15, f"how much faster it is than {SQLITE}, {what}",
                    rounds.ratio(SQLITE, OURS), "x"),
            GoalRow(15, f"how much faster it is than {MODEL}, {what}",
                    rounds.ratio(MODEL, OURS), "x"),
        ),
    )  # fmt: skip


def _facts(
    folder: Path, release: Release, keys: Any, shares: Any, size: int, writing_s: float
) -> dict[str, float]:
    """Return what a new generation costs: to write, to send as a delta, to apply."""
    changed = shares.copy()
    changed[::CHANGED] += 1.0
    _write(folder / "next.pack", release, keys, changed)
    write_delta(folder / "plain.pack", folder / "next.pack", folder / "delta")
    began = time.perf_counter()
    apply_delta(folder / "plain.pack", folder / "delta", folder / "made.pack")
    took = time.perf_counter() - began
    whole = (folder / "next.pack").stat().st_size
    return {
        f"{size:,} entities, seconds to write the pack": round(writing_s, 2),
        f"{size:,} entities, MB of a pack": round(whole / 1e6, 1),
        f"{size:,} entities, MB of a pack of ranked lists": round(
            (folder / "ranked.pack").stat().st_size / 1e6, 1
        ),
        f"{size:,} entities, a twentieth of them new: delta, share of the pack": round(
            (folder / "delta").stat().st_size / whole, 4
        ),
        f"{size:,} entities, seconds to apply that delta": round(took, 2),
    }


def _write(path: Path, release: Release, keys: Any, shares: Any) -> float:
    about = EntityPackInfo("users", 1, time.time(), classes=tuple(range(10)))
    began = time.perf_counter()
    values = {"probabilities": EntityValues("probabilities", shares)}
    _written(path, release, about, keys, values)
    return time.perf_counter() - began


def _write_ranked(path: Path, release: Release, keys: Any, shares: Any) -> None:
    random = np.random.default_rng(1)
    names = np.array([f"hotel-{i}" for i in range(ITEMS)], dtype=object)
    items = joined_items(names[random.integers(0, ITEMS, (len(keys), TOP))])
    scores = -np.sort(-shares, axis=1)
    about = EntityPackInfo("users", 1, time.time(), top=TOP)
    values = {"items": EntityValues("other", items), "scores": EntityValues("other", scores)}
    _written(path, release, about, keys, values)


def _written(
    path: Path, release: Release, about: EntityPackInfo, keys: Any, values: dict[str, EntityValues]
) -> None:
    manifest = release.manifest
    write_entity_predictions(
        path, about, keys, values, model=manifest.model, version=manifest.version,
        manifest=release.digest, answered_by="benchmark", expires=int(time.time()) + 86_400,
    )  # fmt: skip


def _row_pack(path: Path, release: Release, size: int, asked: int) -> list[Any]:
    """Write a pack of ``size`` answers to rows; return the rows of some, spread over all of it."""
    random = np.random.default_rng(2)
    width = len(release.manifest.signature.columns)
    rows = random.random((asked, width), dtype=np.float32)
    canonicaliser = Canonicaliser(release.manifest.signature)
    keys = b"".join(canonicaliser.key(row.tobytes()) for row in rows)
    others = random.integers(0, 256, (size - asked, KEY_BYTES), dtype=np.uint8)
    matrix = np.concatenate([np.frombuffer(keys, np.uint8).reshape(-1, KEY_BYTES), others])
    answers = random.random((size, 10), dtype=np.float32)
    write_pack(path, release, matrix, {"probabilities": answers}, answered_by="benchmark")
    return list(rows)


def _fill(path: Path, names: list[str], shares: Any) -> None:
    """Write a table with an index of the names, as one would by hand."""

    def rows() -> Iterator[tuple[str, bytes]]:
        for name, row in zip(names, shares, strict=True):
            yield name, row.tobytes()

    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE answers (entity TEXT PRIMARY KEY, answer BLOB) WITHOUT ROWID")
        db.executemany("INSERT INTO answers VALUES (?, ?)", rows())


def _by_name(db: sqlite3.Connection) -> Callable[[str], Any]:
    execute, query = db.execute, "SELECT answer FROM answers WHERE entity = ?"
    unpack = np.frombuffer

    def get(name: str) -> Any:
        scores = unpack(execute(query, (name,)).fetchone()[0], np.float32)
        return int(scores.argmax()), scores

    return get


def _opening_ms(path: Path, model: str, times: int) -> float:
    times_ms = []
    for _ in range(times):
        began = time.perf_counter()
        pack = EntityPredictions.open(path, model)
        times_ms.append((time.perf_counter() - began) * 1e3)
        pack.pack.close()
    return statistics.median(times_ms)
