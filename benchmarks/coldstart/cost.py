"""Cost: of an answer for a unit beside a monitored one, of feedback, of ten thousand units."""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.coldstart.lines import Line, line_without
from benchmarks.coldstart.people import people
from benchmarks.coldstart.study import Study, StudyResult, Work
from benchmarks.coldstart.teaching import session, shuffled
from benchmarks.statistics.part import Row
from benchmarks.wire import served
from edge_sdk import EdgeDevice
from edge_sdk.bench.harness import Candidate, Rounds, calls_in, interleave
from examples.digits.data import Pixels

MORE_MICROSECONDS: Final = 3.0
FEEDBACK_MICROSECONDS: Final = 30.0
UNITS: Final = 10_000
RESIDENT_MB: Final = 8.0
LABELS_EACH: Final = 3
ROUNDS: Final = 31
LEAST_PERSONALISED: Final = 0.9
AT_ONCE: Final = 200
"""Predictions that are made before their labels are given."""


def measure(work: Work) -> StudyResult:
    """Measure all three on one release."""
    whom = people(work)
    line = line_without(work, whom, whom.held_out[0])
    unit = whom.units(whom.held_out[0])[0]
    with line.device() as device:
        teach = shuffled(whom.of(unit, 0), work.random(9))
        session(device, "known", teach, whom.of(unit, 1), counts=(50,))
        rounds = _answers(device, teach.X, 3 if work.quick else ROUNDS)
        told = {name: _feedback(device, line, name, work) for name in ("known", None)}
    return StudyResult([*_answer_rows(rounds), *_feedback_rows(told), *_units(work, line)])


def _answers(device: EdgeDevice, own: Pixels, rounds: int) -> Rounds:
    rows = list(own)
    candidates = [
        Candidate("monitored", device.predict, rows),
        Candidate("personalised", lambda x: device.predict(x, unit="known"), rows),
    ]
    share = float(np.mean([device.predict(x, unit="known").personalised for x in rows]))
    if share < LEAST_PERSONALISED:
        raise RuntimeError(f"expected answers to be personalised, got {share:.0%} of them")
    return interleave("predict", candidates, rounds, calls_in(0.05, candidates))


def _answer_rows(rounds: Rounds) -> Iterator[Row]:
    levels = {name: each[:, 0] for name, each in rounds.levels.items()}
    more = float(np.median(levels["personalised"] - levels["monitored"]))
    plain, ours = (float(np.median(levels[name])) for name in ("monitored", "personalised"))
    told = f"{more:+.2f} µs ({plain:.2f} to {ours:.2f} µs)"
    yield Row("predict for a unit, more than a monitored one, p50", f"≤ {MORE_MICROSECONDS:.0f} µs",
              told, more <= MORE_MICROSECONDS)  # fmt: skip


def _feedback(device: EdgeDevice, line: Line, unit: str | None, work: Work) -> float:
    """Return the median microseconds of a label; with ``unit`` it teaches."""
    clock, times = time.perf_counter_ns, []
    rows = itertools.cycle(zip(line.trained.X, line.trained.y.tolist(), strict=True))
    for _ in range(2 if work.quick else ROUNDS):
        part = list(itertools.islice(rows, AT_ONCE))
        ids = [(device.predict(x, unit=unit).id, label) for x, label in part]
        spent = []
        for id_, label in ids:
            began = clock()
            device.feedback(id_, label=label)
            spent.append(clock() - began)
        times.append(float(np.median(spent)) / 1e3)
    return float(np.median(times))


def _feedback_rows(told: dict[str | None, float]) -> Iterator[Row]:
    text = f"{told['known']:.1f} µs (without a unit {told[None]:.1f} µs)"
    yield Row("a label of a unit, p50", f"≤ {FEEDBACK_MICROSECONDS:.0f} µs", text,
              told["known"] <= FEEDBACK_MICROSECONDS)  # fmt: skip


def _units(work: Work, line: Line) -> Iterator[Row]:
    """Bytes that ten thousand units take in the memory of a device of a fleet, as it grows."""
    count = UNITS // 50 if work.quick else UNITS
    rows = list(zip(line.trained.X, line.trained.y.tolist(), strict=True))

    def teach(names: Sequence[str]) -> None:
        for number, name in enumerate(names):
            for i in range(LABELS_EACH):
                x, label = rows[(number * LABELS_EACH + i) % len(rows)]
                device.feedback(device.predict(x, unit=name).id, label=label)

    with at_a_hub(work.folder, line) as device:
        teach([f"warm-{number}" for number in range(20)])
        grown = _growth(lambda: teach([f"unit-{number}" for number in range(count)]))
        known = sum(device.predict(rows[0][0], unit=f"unit-{n}").personalised for n in range(50))
    megabytes = grown / 1e6
    what, goal = f"{count:,} units of {LABELS_EACH} labels, growth of the process", RESIDENT_MB
    yield Row(what, f"≤ {goal:.0f} MB", f"{megabytes:.1f} MB", megabytes <= goal)
    yield Row("of the 50 eldest of them, still known", "50", f"{known}", known == 50)


@contextmanager
def at_a_hub(folder: Path, line: Line) -> Iterator[EdgeDevice]:
    """Yield a device that has a line's release and prior from a hub, and a disk for its units."""
    model = line.release.manifest.model
    with served(folder / "hub") as (hub, url):
        hub.registry.publish(line.release, actor="benchmark", override="benchmark")
        hub.registry.set_policy(model, f"model: {model}\npersonalise: {{mode: on}}\n", "benchmark")
        hub.plans.promote(model, line.release.manifest.version, actor="benchmark", reason="")
        hub.personalise.publish(
            line.prior, figures={}, verdict="", source="benchmark", actor="benchmark"
        )
        token = hub.fleet.new_token(model, uses=1, seconds=3_600, actor="benchmark")
        with EdgeDevice(
            folder / "device", hub=url, token=token, model=model, background=False
        ) as device:
            device.sync()
            yield device


def _growth(work: Callable[[], None]) -> int:
    gc.collect()
    before = _resident()
    work()
    gc.collect()
    return _resident() - before


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


STUDY: Final = Study(
    "Cost",
    "One process, one thread of onnxruntime. Both kinds of calls take turns, 31 rounds on the "
    "unit's own rows, which go round; a figure is the median over the rounds of a round's median, "
    "*more* that of the difference within a round. Labels are given after 200 predictions each. "
    "The growth is that of the process's resident memory.",
    measure,
)
