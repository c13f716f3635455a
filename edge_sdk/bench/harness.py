"""Interleaved timing: several candidates take turns, round by round."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.bench.result import Timing

Ask = Callable[[Any], object]
"""One call that is measured."""

LEAST_CALLS: Final = 20
MOST_CALLS: Final = 20_000
SETTLE_SECONDS: Final = 0.15
"""Pause after every turn, so that a device's telemetry thread does not run in the next one."""


@dataclass(frozen=True)
class Effort:
    """Amount of measuring.

    Attributes:
        rounds: turns of each candidate.
        turn_seconds: approximate seconds of the quickest candidate's turn; all make as many calls.
        batches: rows of each batch.
        batch_rounds: turns with each batch.
        monitored_rows: single rows with monitoring on, and as many with it off.
        monitored_seconds: approximate limit of the seconds for these.
        loops: loops at full speed that they are divided into.
        processes: processes of each kind, for import and memory.
        threads_seconds: seconds of each turn of eight threads.
        pack_entries: entries of the pack that a device opens.
        energy_seconds: seconds of each turn while the energy counter is read.
    """

    rounds: int = 31
    turn_seconds: float = 0.05
    batches: tuple[int, ...] = (1_000, 100_000)
    batch_rounds: int = 11
    monitored_rows: int = 240_000
    monitored_seconds: float = 40.0
    loops: int = 12
    processes: int = 7
    threads_seconds: float = 0.3
    pack_entries: int = 10_000
    energy_seconds: float = 1.0


FULL: Final = Effort()
QUICK: Final = Effort(
    rounds=3,
    turn_seconds=0.002,
    batches=(1_000,),
    batch_rounds=3,
    monitored_rows=2_000,
    monitored_seconds=1.0,
    loops=2,
    processes=1,
    threads_seconds=0.02,
    pack_entries=1_000,
    energy_seconds=0.05,
)


@dataclass
class Candidate:
    """One call to measure; each turn continues with the inputs where the previous one stopped."""

    name: str
    ask: Ask
    inputs: Sequence[Any]
    _round: Iterator[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._round = itertools.cycle(self.inputs)

    def turn(self, calls: int) -> NDArray[np.int64]:
        """Return the nanoseconds of each of ``calls`` calls, after a tenth of them as warm-up."""
        for x in itertools.islice(self._round, max(1, calls // 10)):
            self.ask(x)
        return clocked(self.ask, itertools.islice(self._round, calls), calls)


def clocked(ask: Ask, inputs: Iterator[Any], calls: int) -> NDArray[np.int64]:
    """Return the nanoseconds of each call.

    Args:
        ask: call to measure.
        inputs: one input per call.
        calls: number of calls.
    """
    times = np.empty(calls, dtype=np.int64)
    clock = time.perf_counter_ns
    for i, x in enumerate(inputs):
        started = clock()
        ask(x)
        times[i] = clock() - started
    return times


def seconds_of(candidate: Candidate) -> float:
    """Estimate the seconds of a call: the median of a few, after one to warm up."""
    return float(np.median(candidate.turn(9))) / 1e9


def calls_in(seconds: float, candidates: Sequence[Candidate]) -> int:
    """Return the calls that the quickest candidate makes in ``seconds``, within bounds."""
    quickest = min(seconds_of(candidate) for candidate in candidates)
    return int(np.clip(seconds / max(quickest, 1e-7), LEAST_CALLS, MOST_CALLS))


@dataclass(frozen=True)
class Rounds:
    """Percentiles 50, 90 and 99 of each round in microseconds, [rounds, 3], by candidate."""

    group: str
    levels: Mapping[str, NDArray[np.float64]]
    calls: int

    @property
    def timings(self) -> tuple[Timing, ...]:
        """Medians over the rounds."""
        return tuple(
            timing(self.group, name, np.median(levels, axis=0), len(levels) * self.calls)
            for name, levels in self.levels.items()
        )

    def ratio(self, ours: str, peer: str) -> float:
        """Return the median over the rounds of the ratio of both medians of a round."""
        # Paired by round: both ran within a second, so a change of the clock rate affects both.
        return float(np.median(self.levels[ours][:, 0] / self.levels[peer][:, 0]))


def interleave(group: str, candidates: Sequence[Candidate], rounds: int, calls: int) -> Rounds:
    """Let candidates take turns.

    Args:
        group: name of what is measured, the same for all candidates.
        candidates: calls to compare.
        rounds: turns of each.
        calls: calls in each turn.
    """
    levels = {candidate.name: np.empty((rounds, 3)) for candidate in candidates}
    for number in range(rounds):
        # Another one begins each round: the first in a round profits or suffers from the pause.
        first = number % len(candidates)
        for candidate in (*candidates[first:], *candidates[:first]):
            times = candidate.turn(calls)
            levels[candidate.name][number] = np.percentile(times, (50, 90, 99)) / 1e3
            time.sleep(SETTLE_SECONDS)
    return Rounds(group, levels, calls)


def timing(group: str, name: str, levels: NDArray[np.float64], calls: int) -> Timing:
    """Make a timing.

    Args:
        group: name of what is measured.
        name: name of the candidate.
        levels: percentiles 50, 90 and 99 in microseconds, [3].
        calls: number of calls.
    """
    p50, p90, p99 = (round(float(level), 3) for level in levels)
    return Timing(group, name, p50, p90, p99, calls)
