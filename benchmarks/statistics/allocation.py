"""Sample-ratio mismatch: false alarms, and mismatches that are found."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.fleets import ab, candidates
from benchmarks.statistics.part import Effort, Part, Row, generator, rate
from cloud_hub.statistics.allocation import THRESHOLD, check_allocation, log_mismatch_evidence
from edge_sdk.contract.names import CONTROL

UNITS: Final = 1_000_000
LOOKS: Final = 300
DAYS: Final = 30
FALSE: Final = 10_000
FOUND: Final = 1_000


@functools.cache
def arms() -> NDArray[np.bool_]:
    """Return which of a million units have the candidate, by the plan, half and half."""
    return candidates(ab(), [f"unit-{i}" for i in range(UNITS)], "allocation")


def run(effort: Effort) -> list[Row]:
    """No mismatch, then 51 to 49."""
    runs = effort.runs(FALSE)
    false = sum(_detected(number, 3_000, 1.0) for number in range(runs))
    rows = [
        Row(
            f"no mismatch, {LOOKS} looks, 90,000 units: alarms",
            f"≤ {THRESHOLD:.1%}", rate(false, runs), false / runs <= THRESHOLD,
        )
    ]  # fmt: skip
    for a_day, goal in ((1_000, None), (3_000, 0.7), (10_000, None)):
        runs = effort.runs(FOUND)
        detected = sum(_detected(number, a_day, 49 / 51) for number in range(runs))
        name = f"51 to 49, {DAYS} days of {a_day:,} units: found"
        met = None if goal is None else detected / runs >= goal
        rows.append(Row(name, f"≥ {goal:.0%}" if goal else "", rate(detected, runs), met))
    return rows


def _detected(number: int, a_day: int, reporting: float) -> bool:
    """Return True if a look detects it; a share ``reporting`` of candidate units reports."""
    random = generator(17, a_day, round(reporting * 1_000), number)
    lost = 2 / (1 + reporting)
    drawn = arms()[random.integers(0, UNITS, round(a_day * DAYS * lost))]
    heard = drawn[~drawn | (random.random(len(drawn)) < reporting)]
    each = np.linspace(0, len(heard), LOOKS + 1).astype(int)[1:]
    candidate = np.cumsum(heard)[each - 1]
    counts = np.stack([candidate, each - candidate], axis=1)
    evidence = log_mismatch_evidence(counts, [0.5, 0.5])
    at = int(np.argmax(evidence))
    inside, outside = (int(count) for count in counts[at])
    units = {"candidate": inside, CONTROL: outside}
    return check_allocation("all", units, {"candidate": 0.5, CONTROL: 0.5}).mismatch


PART = Part(
    "Sample-ratio mismatch",
    f"Units are drawn from {UNITS:,} whose arms the plan gives; where there is a mismatch, some of "
    f"the candidate's are never heard of. Looked at {LOOKS} times, at equal intervals.",
    run,
)
