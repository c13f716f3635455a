"""Interleaved rounds: each candidate in turn, again and again, so that a slow moment hits all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Ask = Callable[[Any], object]


@dataclass(frozen=True)
class Timing:
    """Microseconds a call: medians over rounds of the median and of the 99th percentile."""

    p50: float
    p99: float


def rounds(
    candidates: Mapping[str, Ask], inputs: Sequence[Any], *, seconds: float, between: Ask
) -> dict[str, Timing]:
    """Time every candidate on all ``inputs`` for about ``seconds``; ``between`` is not timed."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(next(iter(found.values()))) < 3:
        for name, ask in candidates.items():
            times = each(ask, inputs)
            found[name].append((float(np.median(times)), float(np.percentile(times, 99))))
        between(None)
    return {
        name: Timing(*(statistics.median(values) for values in zip(*times, strict=True)))
        for name, times in found.items()
    }


def each(ask: Ask, inputs: Sequence[Any]) -> Any:
    """Microseconds of each call, [len(inputs)]."""
    clock, times = time.perf_counter_ns, np.empty(len(inputs))
    for i, given in enumerate(inputs):
        started = clock()
        ask(given)
        times[i] = clock() - started
    return times / 1e3
