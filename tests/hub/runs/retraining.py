"""A model that is retrained from rows that devices shared: what tests of runs have in common."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from cloud_hub.data.dataset import Dataset
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from cloud_hub.runs.store import RunCause, RunRecord
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, SampleBatch, Upload
from tests.waiting import wait_for

NOW = int(time.time())
CODE = Path(__file__).parent
"""Folder of the trainings' code, small: all of it is kept with each version of a pipeline."""
GROUPS = {"x2:0": None, "sex": ["f", "m"] * 150}
POLICY = """
sharing: {{samples: true, per_window: 1000}}
train:
  {how}
  path: {path}
  mode: {mode}
  minimum_samples: 200
  {extra}
"""


def data(count: int, seed: int) -> Dataset:
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, 4)).astype(np.float32)
    return Dataset.of(X, (X[:, 0] + X[:, 1] > 0).astype(np.int64))


def share(
    hub: Hub, count: int = 300, seed: int = 2, *, rows: Dataset | None = None, version: str = "1.0"
) -> None:
    fresh = data(count, seed) if rows is None else rows
    labels = fresh.labels
    assert labels is not None
    batch = SampleBatch(
        "demo", version,
        tuple(tuple(row) for row in fresh.X.tolist()),
        tuple(labels.tolist()),
        (NOW,) * len(fresh),
    )  # fmt: skip
    message = Message("b1", seed, "samples", to_plain(batch))
    assert hub.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), Upload((message,))).accepted == 1


def finish(hub: Hub) -> RunRecord:
    def ended() -> RunRecord | None:
        hub.runs.tick(time.time())
        run = hub.runs.records("demo")[-1]
        return None if run.status in ("waiting", "training") else run

    run = wait_for(ended, "the end of the run")
    assert run is not None
    return run


def request(hub: Hub) -> RunRecord:
    hub.runs.request("demo", RunCause("manual"))
    return finish(hub)


def gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet has."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return True


def let_read(folder: Path) -> None:
    """Let every user read the files of a folder, whatever rights new files have here."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


def unchanged(hub: Hub) -> None:
    """What serves goes on serving, and nothing was published."""
    plan = hub.plans.current("demo")
    assert plan is not None
    assert (plan.serving.version, plan.experiment) == ("1.0", None)
    assert [record.version for record in hub.registry.versions("demo")] == ["1.0"]
