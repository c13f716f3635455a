"""The loop by itself: from a trigger to a canary that runs, again and again, unattended.

Invariants:

* A hub in this process with SQLite, its loop called as often as ``edge-hub serve`` does; trainings
  are workers with all their isolation.
* Each run is asked for as a trigger does it, trains on rows that devices shared, is validated,
  converted, certified, gated and started as a canary; a person would have nothing to do. Then the
  canary is ended, so that the next can begin.
* Beside it, in the same run: the same training and conversion in this process alone, which is what
  the loop adds to.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.runs.store import RunCause, RunRecord
from cloud_hub.settings import Settings
from converters import convert
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, SampleBatch, Upload

MODEL: Final = "loop"
RUNS: Final = 24
ROWS: Final = 600
TICK: Final = 1.0
PATIENCE: Final = 3_600.0
GOAL: Final = Goal(
    15, f"from a trigger to a canary running, slowest of {RUNS} in a row", 300.0, "s"
)
Tell = Callable[[str], None]

POLICY: Final = """
model: loop
sharing: {{samples: true, per_window: 1000}}
train: {{entry: "linear:train", path: "{path}", mode: stateless, minimum_samples: 200}}
"""
TRAINING: Final = """
from sklearn.linear_model import LogisticRegression

def train(context):
    return LogisticRegression(max_iter=300).fit(context.fresh.X, context.fresh.y)
"""


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Ask for runs one after the other, until each is a canary.

    Args:
        folder: for the hub and its releases.
        effort: two runs unless it is the full one.
        tell: called with a line for each run.
    """
    wanted = RUNS if effort is FULL else 2
    place = folder / MODEL
    settings = Settings(place / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        _serve_first(hub, place)
        alone = _alone(place)
        seconds: list[float] = []
        for number in range(wanted):
            since = _share(hub, number)
            began = time.perf_counter()
            run = _run(hub, since)
            seconds.append(time.perf_counter() - began)
            tell(f"run {number + 1} of {wanted}: {run.status} after {seconds[-1]:.1f} s")
            if run.status != "experiment":
                note = f"run {number + 1} ended as {run.status}: {run.reason}"
                return Findings(claims=(GoalRow.of(GOAL, float("inf")),), notes=(note,))
            hub.experiments.stop(str(run.experiment), actor="benchmark", reason="the next one")
            hub.loop.tick(time.time())  # the run ends with its canary; another one would join it
        return _findings(seconds, alone, _steps(hub), _bytes(settings.data))
    finally:
        hub.close()


def _findings(seconds: list[float], alone: float, steps: dict[str, float], stored: int) -> Findings:
    typical, part = statistics.median(seconds), max(1, len(seconds) // 4)
    facts = {
        "runs in a row that became a canary": float(len(seconds)),
        "median from trigger to canary, s": typical,
        "last quarter of them against the first, x": (
            statistics.median(seconds[-part:]) / statistics.median(seconds[:part])
        ),
        "disk of the hub a run, MB": stored / len(seconds) / 1e6,
        "training and conversion alone, s": alone,
        "the loop against training and conversion alone, x": typical / alone,
        **{f"median of step {name}, s": value for name, value in steps.items()},
    }
    return Findings(claims=(GoalRow.of(GOAL, max(seconds)),), facts=facts)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = random.normal(size=(ROWS, 30)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(np.int64)


def _serve_first(hub: Hub, place: Path) -> None:
    X, y = _rows(1_000)
    poor = LogisticRegression().fit(X[:, ::-1], y)
    release = convert(poor, X, None, name=MODEL, out=place / "loop-1.0")
    hub.registry.publish(release, actor="benchmark")
    hub.plans.promote(MODEL, "1.0", actor="benchmark", reason="first")
    code = place / "code"
    code.mkdir()
    (code / "linear.py").write_text(TRAINING)
    hub.registry.set_policy(MODEL, POLICY.format(path=code), "benchmark")


def _alone(place: Path) -> float:
    """Seconds of the same training and conversion in this process."""
    X, y = _rows(2_000)
    began = time.perf_counter()
    model = LogisticRegression(max_iter=300).fit(X, y)
    convert(model, X, y, name=MODEL, out=place / "alone")
    return time.perf_counter() - began


def _share(hub: Hub, number: int) -> float:
    """Share new rows of six devices; return a time before them."""
    X, y = _rows(number)
    now = int(time.time())
    for device in range(6):
        part = slice(device * 100, device * 100 + 100)
        rows = tuple(tuple(row) for row in X[part].tolist())
        batch = SampleBatch(MODEL, "1.0", rows, tuple(y[part].tolist()), (now,) * 100)
        message = Message(f"boot-{device}", number + 1, "samples", to_plain(batch))
        hub.telemetry.ingest(EnrolledDevice(f"device-{device}", (MODEL,)), Upload((message,)))
    return now - 0.5


def _run(hub: Hub, since: float) -> RunRecord:
    cause = RunCause("performance", actor="hub", trigger="accuracy")
    hub.runs.request(MODEL, cause, since=since)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        hub.loop.tick(time.time())
        run = hub.runs.records(MODEL)[-1]
        if run.status not in ("waiting", "training"):
            break
        time.sleep(TICK)
    return run


def _steps(hub: Hub) -> dict[str, float]:
    """Median seconds of each step."""
    found: dict[str, list[float]] = {}
    for step in hub.runs.steps.records(model=MODEL):
        found.setdefault(step.step, []).append(float(step.resources.get("seconds", 0.0)))
    return {name: statistics.median(values) for name, values in found.items()}
