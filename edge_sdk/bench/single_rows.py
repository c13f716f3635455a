"""Rows 1 and 2: one row through a device, against the raw call and its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_sdk.bench import goals
from edge_sdk.bench.harness import Effort, calls_in, interleave
from edge_sdk.bench.result import LIMIT, ONE_ROW, OURS, RAW_DEFAULT, RAW_ONE, Findings, GoalRow

if TYPE_CHECKING:
    from edge_sdk.bench.subject import Subject

_TREES = b"TreeEnsemble"
"""Operators whose names begin so are ensembles of trees."""


def measure(subject: Subject, effort: Effort) -> Findings:
    """Measure one row at a time: it misses the pack, the model answers, monitoring counts it."""
    with subject.device() as device:
        candidates = [subject.ours(device), subject.raw(None), subject.raw(1)]
        limit = subject.limit()
        if limit is not None:
            candidates.append(limit)
        calls = calls_in(effort.turn_seconds, candidates)
        rounds = interleave(ONE_ROW, candidates, effort.rounds, calls)
        hits = sum(device.predict(x).source == "pack" for x in subject.inputs)
    trees = _TREES in subject.release.model_path.read_bytes()
    wanted = {
        RAW_DEFAULT: goals.TREES if trees else goals.DEFAULT,
        RAW_ONE: goals.ONE_THREAD,
        LIMIT: goals.BOUND,
    }
    claims = [
        GoalRow.of(goal, rounds.ratio(OURS, peer))
        for peer, goal in wanted.items()
        if peer in rounds.levels
    ]
    notes = [] if limit is not None else ["strings cannot be bound: there is no limit to compare"]
    if hits:
        notes.append(f"{hits} of {len(subject.inputs)} rows were in the pack")
    return Findings(rounds.timings, tuple(claims), notes=(*subject.notes, *notes))
