"""Row 5: what monitoring costs, against the same device with monitoring off.

There are two figures, because another thread does the counting. *Processor time* is that of the
whole process over bursts that fit into the monitoring ring, each followed by a pause in which the
burst is counted: it includes all of monitoring's work. *Time* is that of a loop at full speed,
where counting competes with the caller; beyond the rate that the ring takes, some predictions go
uncounted there.
"""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_sdk.bench import goals
from edge_sdk.bench.harness import SETTLE_SECONDS, Candidate, Effort, clocked, seconds_of, timing
from edge_sdk.bench.result import Findings, GoalRow, Timing
from edge_sdk.config import DeviceConfig
from edge_sdk.telemetry.monitor import FOLD_AT, RING

if TYPE_CHECKING:
    from edge_sdk.bench.subject import Subject
    from edge_sdk.device import EdgeDevice

BURST = RING // 2
GROUP = "one row in a loop at full speed"
ON, OFF = "monitoring on", "monitoring off"


@dataclass(frozen=True)
class _Loop:
    """A loop at full speed: microseconds a row, and nanoseconds of each call."""

    wall_us: float
    times: NDArray[np.int64]


def measure(subject: Subject, effort: Effort) -> Findings:
    """Measure both figures, and the 99.9th percentile of single calls."""
    with subject.device() as on, subject.device(monitoring=False) as off:
        rows = _rows(subject, on, effort)
        cost = _cpu_cost(subject, {ON: on, OFF: off}, rows)
        loops = _loops(subject, {ON: on, OFF: off}, rows, effort.loops)
    walls = {name: statistics.median(loop.wall_us for loop in loops[name]) for name in loops}
    pooled = {name: np.concatenate([loop.times for loop in loops[name]]) for name in loops}
    stalls = {name: float(np.percentile(times, 99.9)) / 1e6 for name, times in pooled.items()}
    claims = (
        GoalRow.of(goals.CPU_COST, cost),
        GoalRow.of(goals.WALL_COST, _paired(loops)),
        GoalRow.of(goals.STALL, stalls[ON]),
    )
    facts = {
        "one row in a loop, monitoring on, µs": round(walls[ON], 3),
        "one row in a loop, monitoring off, µs": round(walls[OFF], 3),
        "one row in a loop, monitoring off, p99.9, ms": round(stalls[OFF], 4),
        "rows in loops and bursts, each way": float(rows),
    }
    timings = tuple(_timing(name, times) for name, times in pooled.items())
    return Findings(timings, claims, facts, _overflow(walls[ON]))


def _overflow(wall_us: float) -> tuple[str, ...]:
    """Return a note if the loop at full speed was faster than the ring is emptied."""
    rate, most = 1e6 / wall_us, RING / DeviceConfig().fold_seconds
    if rate <= most:
        return ()
    return (
        f"the loop at full speed made {rate:,.0f} rows a second, the monitoring ring takes "
        f"{most:,.0f}: some went uncounted there (none in the bursts)",
    )


def _paired(loops: dict[str, list[_Loop]]) -> float:
    """Return the median of the extra time of a loop over the one before or after it."""
    pairs = zip(loops[ON], loops[OFF], strict=True)
    return statistics.median(on.wall_us - off.wall_us for on, off in pairs)


def _rows(subject: Subject, device: EdgeDevice, effort: Effort) -> int:
    """Return the rows of ``effort``, or fewer if a row takes long; enough to fold once."""
    seconds = seconds_of(Candidate("", device.predict, subject.inputs))
    fitting = int(effort.monitored_seconds / 4 / max(seconds, 1e-7))
    return max(min(effort.monitored_rows, fitting), FOLD_AT)


def _cpu_cost(subject: Subject, devices: dict[str, EdgeDevice], rows: int) -> float:
    """Return the extra microseconds of processor time per row, all counting included."""
    bursts = max(1, rows // BURST)
    size = min(rows, BURST)
    for device in devices.values():
        _burst(subject, device, size)
    used = dict.fromkeys(devices, 0.0)
    for name in list(devices) * bursts:
        used[name] += _burst(subject, devices[name], size)
    return (used[ON] - used[OFF]) / (bursts * size) * 1e6


def _burst(subject: Subject, device: EdgeDevice, size: int) -> float:
    """Return the processor seconds of ``size`` rows and of the counting that follows."""
    started = time.process_time()
    predict = device.predict
    for row in itertools.islice(itertools.cycle(subject.inputs), size):
        predict(row)
    time.sleep(SETTLE_SECONDS)
    return time.process_time() - started


def _loops(
    subject: Subject, devices: dict[str, EdgeDevice], rows: int, count: int
) -> dict[str, list[_Loop]]:
    size = max(1, rows // count)
    loops: dict[str, list[_Loop]] = {name: [] for name in devices}
    for number in range(count):
        # The order alternates, so that a drift of the clock rate cancels out.
        for name in sorted(devices, reverse=bool(number % 2)):
            inputs = itertools.islice(itertools.cycle(subject.inputs), size)
            started = time.perf_counter()
            times = clocked(devices[name].predict, inputs, size)
            wall = time.perf_counter() - started
            loops[name].append(_Loop(wall / size * 1e6, times))
            time.sleep(SETTLE_SECONDS)
    return loops


def _timing(name: str, times: NDArray[np.int64]) -> Timing:
    return timing(GROUP, name, np.percentile(times, (50, 90, 99)) / 1e3, len(times))
