"""Runs: a real worker process, and every way in which training goes wrong."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cloud_hub.errors import Conflict
from cloud_hub.hub import Hub
from cloud_hub.registry.service import Dataset
from cloud_hub.runs import jobs
from cloud_hub.runs.service import RunRecord
from converters import convert
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, SampleBatch, Upload

NOW = int(time.time())
POLICY = """
sharing: {{samples: true, per_window: 10}}
train:
  entry: tests.hub.trainers:{entry}
  mode: {mode}
  minimum_samples: 200
  {extra}
"""


def data(count: int, seed: int) -> Dataset:
    random = np.random.default_rng(seed)
    X = random.normal(size=(count, 4)).astype(np.float32)
    return Dataset(X, (X[:, 0] + X[:, 1] > 0).astype(np.int64))


@pytest.fixture
def ready(inner: Hub, tmp_path: Path) -> Callable[..., Hub]:
    """A hub that serves a poor model and has fresh rows, with a policy that trains."""

    def make(entry: str, mode: str = "stateless", extra: str = "", state: bool = True) -> Hub:
        first = data(300, 1)
        poor = LogisticRegression().fit(first.rows[:, ::-1], first.labels)
        release = convert(poor, first.rows, None, name="demo", out=tmp_path / "demo-1.0")
        pickled = pickle.dumps(poor) if state else None
        inner.registry.publish(release, actor="test", training_state=pickled)
        inner.plans.promote("demo", "1.0", actor="test", reason="first")
        inner.registry.set_policy(
            "demo", POLICY.format(entry=entry, mode=mode, extra=extra), "test"
        )
        return inner

    return make


def share(hub: Hub, count: int = 300, seed: int = 2) -> None:
    fresh = data(count, seed)
    assert fresh.labels is not None
    batch = SampleBatch(
        "demo", "1.0",
        tuple(tuple(row) for row in fresh.rows.tolist()),
        tuple(fresh.labels.tolist()),
        (NOW,) * count,
    )  # fmt: skip
    message = Message("b1", seed, "samples", to_plain(batch))
    assert hub.telemetry.ingest("d-1", "demo", Upload((message,))).accepted == 1


def finish(hub: Hub, seconds: float = 60) -> RunRecord:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        hub.runs.tick(time.time())
        run = hub.runs.records("demo")[-1]
        if run.status not in ("waiting", "training"):
            return run
        time.sleep(0.1)
    raise TimeoutError(hub.runs.records("demo"))


def test_a_run_trains_gates_publishes_and_starts_a_canary(ready: Callable[..., Hub]) -> None:
    hub = ready("good")
    hub.runs.request("demo", {"kind": "manual"})
    share(hub)
    run = finish(hub)
    assert (run.status, run.version) == ("canary", "2.0"), run.reason
    record = hub.registry.version("demo", "2.0")
    assert (record.parent, record.mode, record.rows > 0) == ("1.0", "stateless", True)
    (check,) = [c for c in run.gate if c["check"] == "fresh"]
    assert check["candidate"] > check["incumbent"]
    plan = hub.plans.current("demo")
    assert plan is not None
    assert plan.experiment is not None
    assert hub.registry.training_state("demo", "2.0") is not None


def test_a_stateful_run_continues_from_the_parents_state(ready: Callable[..., Hub]) -> None:
    hub = ready("stateful", mode="stateful")
    share(hub)
    hub.runs.request("demo", {"kind": "manual"})
    run = finish(hub)
    assert (run.status, run.version) == ("canary", "1.1"), run.reason
    assert hub.registry.version("demo", "1.1").mode == "stateful"


FAILURES = {
    "one that raises": ("raises", "stateless", "failed", "no disk left on the moon"),
    "one that returns no model": (
        "wrong_type",
        "stateless",
        "failed",
        "expected a fitted estimator",
    ),
    "one that is not there": ("nobody", "stateless", "failed", "has no attribute 'nobody'"),
    "one that makes it worse": ("worse", "stateless", "rejected", "fresh"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_training_that_goes_wrong_ends_with_its_reason_and_changes_nothing(
    ready: Callable[..., Hub], case: str
) -> None:
    entry, mode, status, reason = FAILURES[case]
    hub = ready(entry, mode)
    share(hub)
    hub.runs.request("demo", {"kind": "manual"})
    run = finish(hub)
    assert run.status == status
    assert reason in run.reason
    plan = hub.plans.current("demo")
    assert plan is not None
    assert (plan.serving.version, plan.experiment) == ("1.0", None)
    assert [record.version for record in hub.registry.versions("demo")] == ["1.0"]


def test_a_stateful_run_without_the_parents_state_says_what_to_do(
    ready: Callable[..., Hub],
) -> None:
    hub = ready("stateful", mode="stateful", state=False)
    share(hub)
    hub.runs.request("demo", {"kind": "manual"})
    assert "publish with --training-state" in finish(hub).reason


def test_a_training_that_hangs_is_ended(ready: Callable[..., Hub]) -> None:
    hub = ready("hangs", extra="timeout: 2s")
    share(hub)
    hub.runs.request("demo", {"kind": "manual"})
    assert "longer than the policy allows" in finish(hub).reason


def test_a_run_waits_for_enough_fresh_rows_and_gives_up_in_the_end(
    ready: Callable[..., Hub],
) -> None:
    hub = ready("good", extra="wait: 1h")
    share(hub, count=50)
    hub.runs.request("demo", {"kind": "manual"})
    hub.runs.tick(time.time())
    assert hub.runs.records("demo")[0].reason == "50 of 200 fresh rows"
    hub.runs.tick(time.time() + 3_601)
    assert hub.runs.records("demo")[0].status == "failed"


def test_a_second_cause_joins_the_run_that_is_active(ready: Callable[..., Hub]) -> None:
    hub = ready("good")
    hub.runs.request("demo", {"kind": "drift"})
    hub.runs.request("demo", {"kind": "performance"})
    (run,) = hub.runs.records("demo")
    assert [cause["kind"] for cause in run.causes] == ["drift", "performance"]


def test_a_run_whose_worker_died_with_the_hub_is_started_once_more(
    ready: Callable[..., Hub],
) -> None:
    hub = ready("hangs")
    share(hub)
    hub.runs.request("demo", {"kind": "manual"})
    for _ in range(2):
        hub.runs.tick(time.time())
        assert hub.runs.records("demo")[0].status == "training"
        hub.runs.stop()  # as a killed hub leaves it
        hub.runs.tick(time.time())
    run = hub.runs.records("demo")[0]
    assert (run.status, run.attempts) == ("failed", 2)


def test_a_model_without_a_training_policy_has_no_runs(serving: Hub) -> None:
    with pytest.raises(Conflict, match=r"no train section"):
        serving.runs.request("demo", {"kind": "manual"})


def test_copies_of_a_row_never_stand_on_both_sides_of_the_split() -> None:
    rows = data(200, 3).rows
    held = jobs.held_back(np.concatenate([rows, rows]))
    assert (held[:200] == held[200:]).all()
    assert 0.1 < held.mean() < 0.4
