"""68 trainings of the freshness analysis: in turn, in two processes, on a cluster of two nodes.

Invariants:

* Ways take turns, and the median of each is told; all come to the same result.
* Beside them stands what the machine has to give: by how much two processes that do nothing but
  train get more done than one. Cores that share a cache, a power budget or a host gain less than
  two times, whatever starts the trainings.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from benchmarks.engine import history, train, trainings
from benchmarks.hub.scale_row import ScaleRow
from benchmarks.hub.served import every_core
from cloud_hub.engine.local import LocalEngine
from cloud_hub.engine.ray_engine import RayEngine
from cloud_hub.runs.context import LabelledRows, TrainingContext

if TYPE_CHECKING:
    from benchmarks.hub.scale_row import Bench

ROUNDS: Final = 3
ALONE: Final = 10
"""Trainings of a process that does nothing else."""

TIMES: Final = 1.6
WHAT: Final = "68 trainings of `edge-hub freshness` with two workers against one"
GOAL: Final = f"≥ {TIMES}×"


def training(bench: Bench) -> list[ScaleRow]:
    """Measure the analysis each way."""
    ways: dict[str, Any] = {"in turn": None, "two processes": LocalEngine(2, processes=True)}
    rounds = 1 if bench.quick else ROUNDS
    with every_core(), _one_thread(), contextlib.ExitStack() as stack:
        if not bench.quick and importlib.util.find_spec("ray") is not None:
            from tests.ray_cluster import two_nodes

            ways["Ray"] = RayEngine(stack.enter_context(two_nodes()).address)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        results = set()
        for _ in range(rounds):
            for name, engine in ways.items():
                took, result = trainings(engine, days=120 if bench.quick else 240)
                seconds[name].append(took)
                results.add(result)
        possible = _two_alone()
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return [_row(medians, possible, same=len(results) == 1)]


def _row(seconds: dict[str, float], possible: float, *, same: bool) -> ScaleRow:
    alone = seconds["in turn"]
    gains = {name: alone / took for name, took in seconds.items() if name != "in turn"}
    each = ", ".join(f"{name} {seconds[name]:.1f} s ({gain:.2f}×)" for name, gain in gains.items())
    found = (
        f"in turn {alone:.1f} s, {each}; {'the same results' if same else 'OTHER RESULTS'}; two "
        f"processes that only train get {possible:.2f}× as much done as one on this machine"
    )
    met = same and all(gain >= TIMES for gain in gains.values())
    return ScaleRow("freshness", WHAT, GOAL, found, met, {**seconds, "possible": possible})


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let each process that is started compute in one thread: else one training takes all cores."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _two_alone() -> float:
    """Return how much more two processes get done than one, in turns, without their start."""
    one, two = [], []
    for _ in range(ROUNDS):
        one.append(max(_seconds_of(1)))
        two.append(max(_seconds_of(2)))
    return 2 * statistics.median(one) / statistics.median(two)


def _seconds_of(processes: int) -> list[float]:
    """Return the seconds of processes that train at the same time."""
    command = [sys.executable, "-m", "benchmarks.hub.trainings"]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()  # all is imported
    for process in started:  # all of them, before anybody waits for one
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [float(process.communicate()[0]) for process in started]


def main() -> int:
    """Train some times when told to, and print the seconds."""
    rows = history(days=120)
    context = TrainingContext(
        model="alone", run=0, mode="stateless", mode_reason="alone", parent="0.0",
        window=(0.0, 1.0), fresh=LabelledRows(rows.X, rows.y), history=None, state=None, seed=0,
    )  # fmt: skip
    train(context)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for _ in range(ALONE):
        train(context)
    print(time.perf_counter() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
