"""Row 4: hits in a pack, on the device alone. ``benchmarks/`` has the peers."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from edge_sdk.bench import goals
from edge_sdk.bench.harness import Candidate, Effort, calls_in, interleave
from edge_sdk.bench.result import OURS, Findings, GoalRow
from edge_sdk.bench.rows import application_row
from edge_sdk.errors import BenchError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.packs.reader import Pack

if TYPE_CHECKING:
    from edge_sdk.bench.subject import Subject

BY_KEY = "Pack.get"


def measure(subject: Subject, effort: Effort) -> Findings:
    """Measure rows that are in the pack, through the device, and by their keys alone."""
    if subject.pack is None:
        return Findings()
    signature = subject.release.manifest.signature
    canonicaliser = Canonicaliser(signature)
    rows = [application_row(feed, signature) for feed in subject.hits]
    keys = [canonicaliser.feed_key(feed) for feed in subject.hits]
    with subject.device() as device, Pack.open(subject.pack, subject.release) as pack:
        missed = sum(device.predict(x).source != "pack" for x in rows)
        if missed:
            raise BenchError(f"{missed} of {len(rows)} rows are not found in their own pack")
        candidates = [
            Candidate(OURS, device.predict, rows),
            Candidate(BY_KEY, pack.get, keys),
        ]
        group = f"hit in a pack of {len(pack):,}"
        calls = calls_in(effort.turn_seconds, candidates)
        timings = interleave(group, candidates, effort.rounds, calls).timings
        entry = subject.pack.stat().st_size / len(pack)
        # The goal for the bytes of an entry is set for ten float32 outputs.
        ten_floats = pack.header.value_bytes == 40
    claims = [
        GoalRow.of(goals.HIT, timings[0].p50_us),
        GoalRow.of(goals.OPEN, open_ms(subject, effort.rounds)),
    ]
    if ten_floats:
        claims.append(GoalRow.of(goals.ENTRY, entry))
    return Findings(timings, tuple(claims), {"pack, bytes an entry": round(entry, 1)})


def open_ms(subject: Subject, times: int) -> float:
    """Median milliseconds to open the subject's pack, its file in memory."""
    assert subject.pack is not None
    times_ms = []
    for _ in range(times):
        started = time.perf_counter()
        pack = Pack.open(subject.pack, subject.release)
        times_ms.append((time.perf_counter() - started) * 1e3)
        pack.close()
    return statistics.median(times_ms)
