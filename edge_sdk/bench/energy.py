"""Joules of a thousand predictions, on machines that count their energy.

The counter covers the whole processor package or board, idle and other work included, in our turns
and the peer's alike.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING

from edge_sdk.bench.result import Findings
from edge_sdk.telemetry.meters import Meter, find_meter, why_none

if TYPE_CHECKING:
    from edge_sdk.bench.harness import Candidate, Effort
    from edge_sdk.bench.subject import Subject

_AT_ONCE = 16


def measure(subject: Subject, effort: Effort, meter: Meter | None = None) -> Findings:
    """Measure the joules of a thousand predictions, ours and the raw call's in turn.

    Args:
        subject: model to measure.
        effort: amount of measuring.
        meter: returns joules; by default the machine's own counter, and a note if there is none.
    """
    meter = meter or find_meter()
    if meter is None:
        return Findings(notes=(f"energy: not measured, {why_none()}",))
    with subject.device() as device:
        candidates = [subject.ours(device), subject.raw(None), subject.raw(1)]
        spent: dict[str, list[float]] = {c.name: [] for c in candidates}
        try:
            # Three turns each, interleaved: the idle draw drifts with temperature.
            for candidate in candidates * 3:
                spent[candidate.name].append(joules(candidate, effort.energy_seconds, meter))
        except (OSError, ValueError) as error:
            return Findings(notes=(f"energy: not measured, the meter failed: {error}",))
    names = {name: f"energy of 1,000 predictions, {name}, J" for name in spent}
    return Findings(
        facts={names[n]: round(statistics.median(values), 6) for n, values in spent.items()}
    )


def joules(candidate: Candidate, seconds: float, meter: Meter) -> float:
    """Return the joules of a thousand calls.

    Args:
        candidate: call to measure.
        seconds: duration.
        meter: returns joules.
    """
    inputs = itertools.cycle(candidate.inputs)
    before = meter()
    calls, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for x in itertools.islice(inputs, _AT_ONCE):
            candidate.ask(x)
        calls += _AT_ONCE
    return (meter() - before) / calls * 1e3
