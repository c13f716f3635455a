"""Row 3: many rows in one call, against the raw call on the same tensors."""

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
from edge_sdk.bench.rows import affordable, application_batch, mixed
from edge_sdk.model.session import fixed_batch

if TYPE_CHECKING:
    from edge_sdk.bench.subject import Subject
    from edge_sdk.device import EdgeDevice
    from edge_sdk.model.release import Feed

MOST_SECONDS = 2.0
"""Batches that take longer are left out."""


def measure(subject: Subject, effort: Effort) -> Findings:
    """Measure ``predict_batch`` at each size of ``effort``."""
    signature = subject.release.manifest.signature
    rows_first = signature.batched and not any(spec.batch for spec in signature.inputs)
    if not rows_first or signature.state or fixed_batch(signature) is not None:
        return Findings(notes=("the model takes one input at a time: no batches",))
    names = subject.misses[0]
    rows = {name: np.concatenate([feed[name] for feed in subject.misses]) for name in names}
    with subject.device() as device:
        findings = Findings()
        for size in effort.batches:
            if size > affordable(rows):
                note = f"batch of {size:,}: left out, it would take too much memory"
                findings += Findings(notes=(note,))
                continue
            findings += _one_size(subject, device, mixed(rows, size), size, effort)
    return findings


def _one_size(
    subject: Subject, device: EdgeDevice, batch: Feed, size: int, effort: Effort
) -> Findings:
    path = subject.release.model_path
    rows = application_batch(batch, subject.release.manifest.signature)
    group = f"batch of {size:,}"
    candidates = [
        Candidate(OURS, device.predict_batch, [rows]),
        Candidate(RAW_ONE, RawSession(path, threads=1).run, [batch]),
        Candidate(RAW_DEFAULT, RawSession(path).run, [batch]),
    ]
    if seconds_of(candidates[0]) > MOST_SECONDS:
        return Findings(notes=(f"{group}: left out, one takes more than {MOST_SECONDS} s",))
    # Percentiles of a batch need few calls; the largest batches take seconds each.
    calls = min(200, calls_in(effort.turn_seconds, candidates))
    calls = calls if size < 10_000 else 3
    rounds = interleave(group, candidates, effort.batch_rounds, calls)
    claim = GoalRow.of(goals.batch(size), rounds.ratio(OURS, RAW_ONE))
    return Findings(rounds.timings, (claim,))
