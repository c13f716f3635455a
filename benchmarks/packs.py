"""Row 4 of the goals: pack hits at several sizes, beside what people keep answers in.

Invariants:

* Every store holds the same entries: random keys, and among them the keys of :data:`ROWS` real
  rows, which SHA-256 spreads over the whole file. The real rows are what is looked up.
* End to end the packs of all sizes take turns with each other, so that their ratio is that of one
  and the same moment; the peers of one size take turns with the pack of that size.
* *Cold* means: every file closed, its pages dropped from the page cache (``posix_fadvise``), opened
  again, and each of a few keys looked up once.
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import (
    KINDS,
    Get,
    Kind,
    dict_get,
    drop_from_memory,
    from_row,
    remove,
    size_of,
)
from edge_sdk.bench import goals
from edge_sdk.bench.harness import Candidate, Effort, Rounds, calls_in, interleave, timing
from edge_sdk.bench.result import OURS, Findings, GoalRow
from edge_sdk.bench.rows import different
from edge_sdk.device import EdgeDevice
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.model.session import Model
from edge_sdk.packs.layout import sorted_order
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack

ROWS: Final = 5_000
COLD_KEYS: Final = 200
OUTPUT: Final = "probabilities"
PACK: Final = "pack"
SQLITE: Final = KINDS[1].name
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Content:
    """Real rows [ROWS, features] that are looked up, their keys [ROWS, 16] and answers."""

    release: Release
    rows: NDArray[np.float32]
    keys: NDArray[np.uint8]
    answers: NDArray[np.float32]

    @classmethod
    def of(cls, release: Release, count: int) -> Content:
        """``count`` rows like the golden ones of ``release``, answered by its model."""
        feed = different(release.golden().inputs, count)
        canonicaliser = Canonicaliser(release.manifest.signature)
        keys = [canonicaliser.feed_key(feed, i) or b"" for i in range(count)]
        signature = release.manifest.signature
        outputs = [spec for spec in signature.outputs if spec.name == OUTPUT]
        answers = Model.load(release).run(feed, outputs)[OUTPUT]
        matrix = np.frombuffer(b"".join(keys), np.uint8).reshape(count, -1)
        return cls(release, next(iter(feed.values())), matrix, answers)

    def entries(self, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Keys and values of a store of ``count`` entries, sorted by key."""
        random = np.random.default_rng(count)
        others = count - len(self.keys)
        keys = random.integers(0, 256, (others, self.keys.shape[1]), dtype=np.uint8)
        values = random.random((others, self.answers.shape[1]), dtype=np.float32)
        keys, values = np.concatenate([self.keys, keys]), np.concatenate([self.answers, values])
        order = sorted_order(keys)
        return keys[order], values[order]

    @property
    def prefix(self) -> bytes:
        """Bytes that precede a row's in its key."""
        return Canonicaliser(self.release.manifest.signature).name.encode() + b"\0"

    @property
    def key_bytes(self) -> list[bytes]:
        """The real rows' keys."""
        return [key.tobytes() for key in self.keys]


def measure(
    release: Release, folder: Path, sizes: Sequence[int], effort: Effort, tell: Tell
) -> Findings:
    """Measure packs and their peers.

    Args:
        release: with ten float32 outputs.
        folder: for packs and stores, up to 4 GB at 1e7 entries.
        sizes: entries of the packs, smallest first.
        effort: rounds and seconds a turn.
        tell: called with a line for each step.
    """
    content = Content.of(release, min(ROWS, min(sizes) // 2))
    packs = {size: folder / f"{size}.pack" for size in sizes}
    for size, path in packs.items():
        tell(f"writing a pack of {size:,}")
        keys, values = content.entries(size)
        write_pack(path, release, keys, {OUTPUT: values}, answered_by="benchmark")
        del keys, values
    findings = _end_to_end(content, packs, effort)
    for size, path in packs.items():
        findings += _file(content, path, size, effort)
        findings += _compared_with_peers(content, path, size, effort, tell)
    return findings


def _end_to_end(content: Content, packs: dict[int, Path], effort: Effort) -> Findings:
    """``device.predict`` answered from packs of every size, in turn."""
    with contextlib.ExitStack() as stack:
        candidates = []
        for size, path in packs.items():
            device = stack.enter_context(EdgeDevice.offline(content.release.folder, pack=path))
            _check_hits(device, content, size)
            candidates.append(Candidate(_name(size), device.predict, list(content.rows)))
        calls = max(calls_in(effort.turn_seconds, candidates), len(content.rows))
        rounds = interleave("pack hit end to end", candidates, effort.rounds, calls)
    claims = [GoalRow.of(goals.HIT, t.p50_us, t.name) for t in rounds.timings]
    if len(packs) > 1:
        growth = rounds.ratio(_name(max(packs)), _name(min(packs)))
        claims.append(GoalRow.of(goals.GROWTH, growth))
    return Findings(rounds.timings, tuple(claims))


def _check_hits(device: EdgeDevice, content: Content, size: int) -> None:
    missed = sum(device.predict(row).source != "pack" for row in content.rows)
    if missed:
        raise RuntimeError(f"{missed} of {len(content.rows)} rows are not in the pack of {size}")


def _name(size: int) -> str:
    return f"{size:,} entries"


def _file(content: Content, path: Path, size: int, effort: Effort) -> Findings:
    """Opening, warm, and bytes an entry."""
    opening_ms = []
    for _ in range(effort.rounds):
        started = time.perf_counter()
        pack = Pack.open(path, content.release)
        opening_ms.append((time.perf_counter() - started) * 1e3)
        pack.close()
    entry = path.stat().st_size / size
    claims = (
        GoalRow.of(goals.OPEN, statistics.median(opening_ms), _name(size)),
        GoalRow.of(goals.ENTRY, entry, _name(size)),
    )
    return Findings(claims=claims)


def _compared_with_peers(
    content: Content, path: Path, size: int, effort: Effort, tell: Tell
) -> Findings:
    """Warm and cold lookups in the pack and in every peer of the same entries."""
    folder = path.parent / f"{size}.peers"
    folder.mkdir()
    kinds = [kind for kind in KINDS if size <= kind.most]
    keys, values = content.entries(size)
    for kind in kinds:
        tell(f"filling {kind.name} with {size:,}")
        kind.store.write(_place(folder, kind), _pairs(keys, values), size)
    tell(f"looking up among {size:,}")
    table = dict_get(_pairs(keys, values))
    del keys, values
    warm = _warm(content, path, folder, kinds, table, size, effort)
    del table
    cold = _cold(content, path, folder, kinds, size)
    sizes = {
        f"{kind.name}, {_name(size)}, bytes an entry": round(
            size_of(_place(folder, kind)) / size, 1
        )
        for kind in kinds
    }
    left_out = tuple(
        f"{kind.name} is left out at {_name(size)}: filling it takes too long"
        for kind in KINDS
        if kind not in kinds
    )
    remove(folder)
    return warm + cold + Findings(facts=sizes, notes=left_out)


def _place(folder: Path, kind: Kind) -> Path:
    return folder / kind.store.__name__


def _pairs(keys: NDArray[np.uint8], values: NDArray[np.float32]) -> Iterator[tuple[bytes, bytes]]:
    all_keys, all_values = keys.tobytes(), values.tobytes()
    k, v = keys.shape[1], values.shape[1] * values.itemsize
    for i in range(len(keys)):
        yield all_keys[k * i : k * i + k], all_values[v * i : v * i + v]


def _warm(
    content: Content,
    path: Path,
    folder: Path,
    kinds: Sequence[Kind],
    table: Get,
    size: int,
    effort: Effort,
) -> Findings:
    """By key alone, and from a row as an application has it."""
    wanted_keys, rows = content.key_bytes, list(content.rows)
    with contextlib.ExitStack() as stack:
        gets: dict[str, Get] = {"dict": table}
        for kind in kinds:
            store = kind.store.open(_place(folder, kind))
            stack.callback(store.close)
            gets[kind.name] = store.get
        pack = stack.enter_context(Pack.open(path, content.release))
        device = stack.enter_context(EdgeDevice.offline(content.release.folder, pack=path))
        by_key = [Candidate(PACK, pack.get, wanted_keys)]
        by_key += [Candidate(name, get, wanted_keys) for name, get in gets.items()]
        from_rows = [Candidate(OURS, device.predict, rows)]
        from_rows += [
            Candidate(name, from_row(get, content.prefix), rows) for name, get in gets.items()
        ]
        first = _turns(f"lookup by key, {_name(size)}", by_key, effort, len(wanted_keys))
        second = _turns(f"lookup from a row, {_name(size)}", from_rows, effort, len(wanted_keys))
    faster = second.ratio(SQLITE, OURS)
    claims = (
        GoalRow.of(goals.SQLITE, first.ratio(SQLITE, PACK), f"by key, {_name(size)}"),
        GoalRow(4, f"the same from a row, with all that a device does, {_name(size)}", faster, "x"),
    )
    return Findings(first.timings + second.timings, claims)


def _turns(group: str, candidates: Sequence[Candidate], effort: Effort, least: int) -> Rounds:
    calls = max(calls_in(effort.turn_seconds, candidates), least)
    return interleave(group, candidates, effort.rounds, calls)


def _cold(content: Content, path: Path, folder: Path, kinds: Sequence[Kind], size: int) -> Findings:
    """Each store once, its file out of memory, with how often the disk was waited for."""
    timings, facts = [], {}
    opened: dict[str, tuple[Path, Callable[[Path], Any]]] = {
        PACK: (path, lambda place: Pack.open(place, content.release))
    }
    opened |= {kind.name: (_place(folder, kind), kind.store.open) for kind in kinds}
    for name, (place, open_store) in opened.items():
        drop_from_memory(place)
        percentiles, faults = _first_lookups(open_store, place, content.key_bytes[:COLD_KEYS])
        timings.append(timing(f"cold lookup by key, {_name(size)}", name, percentiles, COLD_KEYS))
        facts[f"{name}, cold, {_name(size)}, page faults that read the disk"] = float(faults)
    return Findings(tuple(timings), facts=facts)


def _first_lookups(
    open_store: Callable[[Path], Any], place: Path, keys: Sequence[bytes]
) -> tuple[NDArray[np.float64], int]:
    """Percentiles of the first lookups in microseconds, and major page faults from opening on."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    store = open_store(place)
    times = []
    for key in keys:
        started = time.perf_counter_ns()
        store.get(key)
        times.append(time.perf_counter_ns() - started)
    store.close()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - before
    levels: NDArray[np.float64] = np.percentile(times, (50, 90, 99)) / 1e3
    return levels, faults
