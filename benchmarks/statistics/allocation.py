"""Sample-ratio mismatch: false alarms, and mismatches that are found; then of keys that repeat."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.fleets import ab, candidates
from benchmarks.statistics.part import Effort, Part, Row, exact_rate, generator, level, power
from cloud_hub.statistics.allocation import (
    THRESHOLD,
    check_allocation,
    check_key_allocation,
    log_bucket_evidence,
    log_mismatch_evidence,
)
from edge_sdk.contract.key_buckets import BUCKETS
from edge_sdk.contract.names import CONTROL

UNITS: Final = 1_000_000
LOOKS: Final = 300
DAYS: Final = 30
FALSE: Final = 10_000
FOUND: Final = 1_000
KEYED: Final = 3_000


@functools.cache
def arms() -> NDArray[np.bool_]:
    """Return which of a million units have the candidate, by the plan, half and half."""
    return candidates(ab(), [f"unit-{i}" for i in range(UNITS)], "allocation")


def run(effort: Effort) -> list[Row]:
    """No mismatch, then 51 to 49."""
    runs = effort.runs_for_level(FALSE, THRESHOLD)
    false = sum(_detected(number, 3_000, 1.0) for number in range(runs))
    rows = [level(f"no mismatch, {LOOKS} looks, 90,000 units: alarms", false, runs, THRESHOLD)]
    if effort.quick:
        return rows
    for a_day, goal in ((1_000, None), (3_000, 0.7), (10_000, None)):
        runs = effort.runs(FOUND)
        detected = sum(_detected(number, a_day, 49 / 51) for number in range(runs))
        name = f"51 to 49, {DAYS} days of {a_day:,} units: found"
        rows.append(
            power(name, detected, runs, goal) if goal else Row(name, "", exact_rate(detected, runs))
        )
    return [*rows, *_keys(effort)]


def _keys(effort: Effort) -> list[Row]:
    """Keys of devices that start again every day, and count them again."""
    rows = []
    for share in (0.5, 0.1):
        for keys in (300, 5_000):
            runs = effort.runs_for_level(KEYED, THRESHOLD)
            alarms = [_repeating(share, keys, 1.0, (53, keys, i)) for i in range(runs)]
            ours, once = (sum(each[k] for each in alarms) for k in (0, 1))
            what = f"{keys:,} keys, {share:.0%} on the candidate, {DAYS} daily restarts"
            rows += [
                level(f"no mismatch, {what}: alarms", ours, runs, THRESHOLD, claim="5"),
                Row("the same counts taken as if each were another key", "",
                    exact_rate(once, runs), claim="5"),
            ]  # fmt: skip
    runs = effort.runs(FOUND)
    found = sum(_repeating(0.5, 30_000, 0.9, (59, i))[0] for i in range(runs))
    name = "30,000 keys, a tenth of the candidate's never heard of: found"
    return [*rows, power(name, found, runs, 0.9, claim="5")]


def _repeating(
    share: float, keys: int, reporting: float, seed: tuple[int, ...]
) -> tuple[bool, bool]:
    """Whether a look on any day alarms: by buckets, and counting what repeats.

    Args:
        share: of the keys that the plan gives the candidate.
        keys: of the fleet; each comes on some days and not on others.
        reporting: share of the candidate's keys that are heard of.
        seed: of the run.
    """
    random = generator(*seed)
    inside = random.random(keys) < share
    heard = ~inside | (random.random(keys) < reporting)
    comes = (random.random((DAYS, keys)) < random.beta(0.5, 0.5, keys)) & heard
    counted = np.cumsum(comes, axis=0)
    bucket = random.integers(0, BUCKETS, keys)
    place = np.zeros((keys, 2 * BUCKETS))
    place[np.arange(keys), inside * BUCKETS + bucket] = 1
    table = (counted @ place).reshape(DAYS, 2, BUCKETS)
    expected = [1 - share, share]
    once = log_mismatch_evidence(table.sum(axis=2), expected)
    at = int(np.argmax(np.minimum(once, log_bucket_evidence(table, expected))))
    units = {CONTROL: table[at, 0], "candidate": table[at, 1]}
    judged = check_key_allocation("all", units, {CONTROL: 1 - share, "candidate": share})
    return judged.mismatch, bool(np.max(once) >= -np.log(THRESHOLD))


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
    f"the candidate's are never heard of. Looked at {LOOKS} times, at equal intervals. Keys of a "
    "test by key come on some days and not on others, and are counted anew each day.",
    run,
    quick=True,
)
