"""Row 3: many rows in one call, beside the raw call on the same tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_sdk.bench import goals
from edge_sdk.bench.harness import (
    Candidate,
    Effort,
    calls_in,
    interleave,
    seconds_of,
)
from edge_sdk.bench.raw import RawSession
from edge_sdk.bench.result import OURS, RAW_DEFAULT, RAW_ONE, Findings, GoalRow
from edge_sdk.bench.rows import batch_as_given, mixed

if TYPE_CHECKING:
    from edge_sdk.bench.subject import Subject
    from edge_sdk.device import EdgeDevice
    from edge_sdk.model.release import Feed

MOST_SECONDS = 2.0
"""A batch that takes longer than this is left out."""


def measure(subject: Subject, effort: Effort) -> Findings:
    """``predict_batch`` at each size of ``effort``."""
    signature = subject.release.manifest.signature
    if not signature.batched or signature.state or signature.inputs[0].shape[0] is not None:
        return Findings(notes=("the model takes one input at a time: no batches",))
    names = subject.misses[0]
    rows = {name: np.concatenate([feed[name] for feed in subject.misses]) for name in names}
    with subject.device() as device:
        found = Findings()
        for size in effort.batches:
            found += _one_size(subject, device, mixed(rows, size), size, effort)
    return found


def _one_size(
    subject: Subject, device: EdgeDevice, batch: Feed, size: int, effort: Effort
) -> Findings:
    path = subject.release.model_path
    given = batch_as_given(batch, subject.release.manifest.signature)
    group = f"batch of {size:,}"
    candidates = [
        Candidate(OURS, device.predict_batch, [given]),
        Candidate(RAW_ONE, RawSession(path, threads=1).run, [batch]),
        Candidate(RAW_DEFAULT, RawSession(path).run, [batch]),
    ]
    if seconds_of(candidates[0]) > MOST_SECONDS:
        return Findings(notes=(f"{group}: left out, one takes more than {MOST_SECONDS} s",))
    calls = min(200, calls_in(effort.turn_seconds, candidates))
    calls = calls if size < 10_000 else 3
    found = interleave(group, candidates, effort.batch_rounds, calls)
    claim = GoalRow.of(goals.batch(size), found.ratio(OURS, RAW_ONE))
    return Findings(found.timings, (claim,))
