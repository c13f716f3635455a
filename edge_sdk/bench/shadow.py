"""Row 8: what a shadow costs the caller, against the same device without one.

The candidate is the same release, and every row of a loop at full speed is offered to it: no shadow
has more work. Rows beyond its share of the time are skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_sdk.bench import goals
from edge_sdk.bench.harness import Candidate, Effort, calls_in, interleave
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.contract.experiment_reports import ShadowReport

if TYPE_CHECKING:
    from edge_sdk.bench.subject import Subject

GROUP = "one row with a shadow"
ON, OFF = "shadow on", "shadow off"


def measure(subject: Subject, effort: Effort) -> Findings:
    """Measure ratios of p50 and p99, medians over interleaved rounds."""
    folder = subject.release.folder
    if subject.release.manifest.signature.state:
        return Findings(notes=("a model with recurrent state has no shadow",))
    opened = subject.open_device
    with opened(folder, shadow=folder) as on, opened(folder) as off:
        candidates = [
            Candidate(name, device.predict, subject.inputs)
            for name, device in ((ON, on), (OFF, off))
        ]
        calls = calls_in(effort.turn_seconds, candidates)
        rounds = interleave(GROUP, candidates, effort.rounds, calls)
        reports = [body for body in on.reports() if isinstance(body, ShadowReport)]
    ratios = np.median(rounds.levels[ON] / rounds.levels[OFF], axis=0)
    claims = (
        GoalRow.of(goals.SHADOW_P50, float(ratios[0])),
        GoalRow.of(goals.SHADOW_P99, float(ratios[2])),
    )
    facts = {
        "rows that the shadow compared": float(sum(body.compared for body in reports)),
        "rows that it skipped": float(sum(sum(body.skipped.values()) for body in reports)),
    }
    return Findings(rounds.timings, claims, facts)
