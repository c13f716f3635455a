"""Row 7: eight threads of an application on one device, against eight on one raw session."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_sdk.bench import goals
from edge_sdk.bench.harness import SETTLE_SECONDS, Candidate, Effort
from edge_sdk.bench.result import OURS, RAW_DEFAULT, RAW_ONE, Findings, GoalRow

if TYPE_CHECKING:
    from edge_sdk.bench.subject import Subject

THREADS = 8
_AT_ONCE = 16
"""Calls between two readings of the clock."""


def measure(subject: Subject, effort: Effort) -> Findings:
    """Measure the rows per second of all threads together."""
    with subject.device() as device:
        candidates = [subject.ours(device), subject.raw(None), subject.raw(1)]
        samples: dict[str, list[float]] = {c.name: [] for c in candidates}
        for number in range(effort.batch_rounds):
            first = number % len(candidates)
            for candidate in (*candidates[first:], *candidates[:first]):
                samples[candidate.name].append(throughput(candidate, effort.threads_seconds))
                time.sleep(SETTLE_SECONDS)
    rates = {name: statistics.median(values) for name, values in samples.items()}
    peers = {RAW_DEFAULT: goals.EIGHT_DEFAULT, RAW_ONE: goals.EIGHT_ONE}
    claims = tuple(
        GoalRow.of(
            goal,
            statistics.median(a / b for a, b in zip(samples[OURS], samples[peer], strict=True)),
        )
        for peer, goal in peers.items()
    )
    facts = {f"eight threads, {name}, rows a second": round(r) for name, r in rates.items()}
    return Findings(claims=claims, facts={name: float(rate) for name, rate in facts.items()})


def throughput(candidate: Candidate, seconds: float) -> float:
    """Return the calls per second of :data:`THREADS` threads that start together.

    Each makes one call before, which prepares its buffers.
    """
    done = [0] * THREADS
    errors: list[BaseException] = []
    gate = threading.Barrier(THREADS + 1)

    def work(number: int) -> None:
        ask = candidate.ask
        inputs = itertools.cycle(candidate.inputs[number::THREADS] or candidate.inputs)
        try:
            ask(next(inputs))
            gate.wait()
            done[number] = _ask_until(time.perf_counter() + seconds, ask, inputs.__next__)
        except BaseException as error:
            errors.append(error)
            gate.abort()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(threading.BrokenBarrierError):  # then ``errors`` says why
        gate.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(done) / (time.perf_counter() - started)


def _ask_until(end: float, ask: Callable[[object], object], following: Callable[[], object]) -> int:
    """Call until ``end``, at least once; return the number of calls."""
    # The clock is read after the calls: a thread that starts late still counts for something.
    calls = 0
    while True:
        for _ in range(_AT_ONCE):
            ask(following())
        calls += _AT_ONCE
        if time.perf_counter() >= end:
            return calls
