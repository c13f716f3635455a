"""Latency and memory of candidate files, measured for seconds, not for a number of calls.

Invariants:

* Each candidate takes turns with float32, and its figures are float32's times the ratio that was
  seen in common: a slow moment of the machine hits both.
* Medians are processor time of the one thread that a model runs in: on a machine that does nothing
  else that is the latency, and on others it is still the model's own. The 99th percentile is time
  as it passes.
* One large model is in memory at a time.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from converters.memory import trim
from edge_sdk.model.release import Feed, Release
from edge_sdk.model.session import Model, first_row, fixed_batch, row_count, take_rows

ROUNDS: Final = 7
FEWEST_ROUNDS: Final = 3
CALLS: Final = 100
"""Calls in one turn, at most."""

SECONDS: Final = 0.75
"""For single rows of a candidate and of float32 beside it; as much again for batches."""

TAIL_SECONDS: Final = 0.5
"""For the 99th percentile of single rows."""

BATCH: Final = 200
"""Rows of a batch, at most."""

Clock = Callable[[], float]

SMALL: Final = 16 << 20
"""Bytes of files that may stay in memory together."""


@dataclass(frozen=True)
class Speed:
    """Latency and memory of one candidate.

    Attributes:
        row_us: median µs of a call with one row, of processor time.
        batch_row_us: median µs a row of a call with many, likewise.
        load_ms: ms to load the file.
        p99_us: 99th percentile of a call with one row, µs.
        memory_kb: KiB that loading added to the process.
    """

    row_us: float
    batch_row_us: float
    load_ms: float
    p99_us: float
    memory_kb: float


def measure(
    releases: Mapping[str, Release], feed: Feed, tell: Callable[[str], None] = lambda name: None
) -> dict[str, Speed]:
    """Time every candidate on ``feed``, by name.

    Args:
        releases: candidates of one model by name, float32 first; all have the same signature.
        feed: input tensors; the batch axis first where the signature has one.
        tell: called with the name of each, before it is measured.
    """
    (plain_name, plain_release), *others = releases.items()
    if plain_release.model_path.stat().st_size > SMALL:
        return _measure_large(releases, feed, tell)
    tell(plain_name)
    plain = _load(plain_release)
    one, some = _inputs(plain, feed)
    speeds = {plain_name: _speed(plain, _Medians.of(plain, one, some), one)}
    kept = []  # what is freed would hide what the next one needs
    for name, release in others:
        tell(name)
        other = _load(release)
        kept.append(other)
        row = _ratio(_turns([plain, other], one))
        batch = row if some is one else _ratio(_turns([plain, other], some))
        base = speeds[plain_name]
        times = _Medians(base.row_us * row, base.batch_row_us * batch)
        speeds[name] = _speed(other, times, one)
    return speeds


def _measure_large(
    releases: Mapping[str, Release], feed: Feed, tell: Callable[[str], None]
) -> dict[str, Speed]:
    """Measure as :func:`measure`, with one model in memory at a time, arguments likewise.

    The turn of each candidate has one of float32 before it and one behind it.
    """
    (plain_name, plain_release), *others = releases.items()
    size = plain_release.model_path.stat().st_size
    tell(plain_name)
    plain = _load(plain_release)
    one, some = _inputs(plain, feed)
    base = before = _Medians.of(plain, one, some)
    speeds = {plain_name: _speed(plain, base, one)}
    for name, release in others:
        tell(name)
        del plain
        trim(size)
        other = _load(release)
        times = _Medians.of(other, one, some)
        speed = _speed(other, times, one)
        del other
        trim(size)
        plain = _load(plain_release)
        after = _Medians.of(plain, one, some)
        row = 2 * times.row_us / (before.row_us + after.row_us)
        batch = 2 * times.batch_row_us / (before.batch_row_us + after.batch_row_us)
        speeds[name] = replace(
            speed, row_us=base.row_us * row, batch_row_us=base.batch_row_us * batch
        )
        before = after
    del plain
    trim(size)
    return speeds


@dataclass(frozen=True)
class _Loaded:
    model: Model
    load_ms: float
    memory_kb: float


@dataclass(frozen=True)
class _Medians:
    """Median µs of a call with one row, and µs a row of a call with many."""

    row_us: float
    batch_row_us: float

    @classmethod
    def of(cls, loaded: _Loaded, one: Feed, some: Feed) -> _Medians:
        (singles,) = _turns([loaded], one)
        (batches,) = [singles] if some is one else _turns([loaded], some)
        rows = row_count(some, loaded.model.manifest.signature)
        return cls(statistics.median(singles), statistics.median(batches) / rows)


def _load(release: Release) -> _Loaded:
    """Load a model as a device does, with what that takes."""
    before, started = resident_kb(), time.perf_counter()
    model = Model.load(release)
    seconds = time.perf_counter() - started
    return _Loaded(model, seconds * 1e3, max(0.0, resident_kb() - before))


def _inputs(plain: _Loaded, feed: Feed) -> tuple[Feed, Feed]:
    """Return one row of ``feed``, and as many as are worth a turn."""
    signature = plain.model.manifest.signature
    one = first_row(feed, signature)
    if not signature.batched or signature.state:
        return one, one
    plain.model.run(one)  # the first call also allocates
    seconds = max(1e-6, _time(plain.model, one, 1) / 1e6)
    rows = int(min(BATCH, max(1.0, SECONDS / (2 * FEWEST_ROUNDS * seconds))))
    rows = max(rows, fixed_batch(signature) or 1)
    return one, one if rows == 1 else take_rows(feed, slice(rows), signature)


def _turns(candidates: list[_Loaded], feed: Feed) -> list[list[float]]:
    """Return µs a call of each candidate, a figure for each round."""
    models = [each.model for each in candidates]
    for model in models:
        model.run(feed)  # the first call also allocates
    firsts = [_time(model, feed, 1) for model in models]
    first = max(1e-6, sum(firsts) / 1e6)
    if first > SECONDS:  # so long a call is a measurement by itself
        return [[microseconds] for microseconds in firsts]
    rounds = int(min(ROUNDS, max(FEWEST_ROUNDS, SECONDS / first)))
    calls = int(min(CALLS, max(1.0, SECONDS / first / rounds)))
    figures: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, times in zip(models, figures, strict=True):
            times.append(_time(model, feed, calls))
    return figures


def _ratio(turns: list[list[float]]) -> float:
    """Return the median over rounds of the second candidate's time as a share of the first's."""
    plain, other = turns
    return statistics.median(b / a for a, b in zip(plain, other, strict=True))


def _speed(loaded: _Loaded, times: _Medians, one: Feed) -> Speed:
    p99 = _p99(loaded.model, one)
    return Speed(times.row_us, times.batch_row_us, loaded.load_ms, p99, loaded.memory_kb)


def resident_kb() -> float:
    """Return the resident memory of this process in KiB; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def _p99(model: Model, feed: Feed) -> float:
    until = time.perf_counter() + TAIL_SECONDS
    times = [_time(model, feed, 1, time.perf_counter) for _ in range(2)]  # a quantile needs two
    while len(times) < ROUNDS * CALLS and time.perf_counter() < until:
        times.append(_time(model, feed, 1, time.perf_counter))
    # With fewer than a hundred calls the largest is the best guess, and no extrapolation is.
    return statistics.quantiles(times, n=100, method="inclusive")[-1]


def _time(model: Model, feed: Feed, calls: int, clock: Clock = time.thread_time) -> float:
    """Return µs a call."""
    started = clock()
    for _ in range(calls):
        model.run(feed)
    return (clock() - started) / calls * 1e6
