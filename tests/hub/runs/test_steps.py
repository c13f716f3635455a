"""Steps of runs: what each was given and made, and where a run is taken up again."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.hub import Hub
from cloud_hub.runs.steps.names import STEPS, StepName, cache_key, changed_inputs, step_of
from cloud_hub.runs.steps.recorder import StepRecorder, StepSkipped, WorkerSteps, claimed_steps
from cloud_hub.runs.steps.resuming import changed_steps, check_begin, first_step
from cloud_hub.runs.steps.store import StepRecord, StepStatus
from cloud_hub.runs.store import RunCause, RunRecord
from edge_sdk.contract.codec import decode
from edge_sdk.contract.errors import ContractError
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import data, finish, request


def record(step: StepName, status: StepStatus = "done", **inputs: object) -> StepRecord:
    return StepRecord(1, "demo", 1, step, status, 0.0, 1.0, inputs=inputs)


def all_done() -> list[StepRecord]:
    return [record(name) for name in STEPS]


def statuses(hub: Hub, run: RunRecord) -> dict[str, str]:
    return {step.step: step.status for step in hub.runs.steps.of_run(run.id)}


def test_equal_inputs_have_one_key_and_others_another() -> None:
    one = cache_key("train", {"seed": 1, "code": "a"})
    assert one == cache_key("train", {"code": "a", "seed": 1})
    others = [cache_key("train", {"seed": 2, "code": "a"}), cache_key("gate", {"seed": 1})]
    assert one not in others
    assert changed_inputs({"seed": 1, "command": ("a",)}, {"seed": 2, "command": ["a"]}) == (
        "seed",
    )


def test_a_run_begins_at_the_first_step_that_failed_or_has_changed() -> None:
    steps = all_done()
    steps[4] = record("convert", "failed")
    assert first_step(steps, {}) == ("convert", "convert failed")
    assert first_step(steps, {"train": ("code",)}) == ("train", "code of train changed")
    assert first_step(steps[:2], {}) == ("train", "train was not taken")
    with pytest.raises(Conflict, match="nothing has changed"):
        first_step(all_done(), {})


def test_a_step_whose_predecessor_failed_cannot_be_begun_at() -> None:
    steps = all_done()
    steps[1] = record("validate", "failed")
    check_begin(1, "validate", steps)
    with pytest.raises(Conflict, match="cannot begin at convert, because validate failed"):
        check_begin(1, "convert", steps)
    with pytest.raises(Invalid, match="expected one of collect, validate"):
        step_of("roast")


def test_what_has_changed_is_named() -> None:
    steps = [record("train", code="a", environment="e", seed=0), record("gate", "failed")]
    now: dict[StepName, dict[str, object]] = {
        "train": {"code": "b", "environment": "e", "seed": 1},
        "gate": {"thresholds": {}},
    }
    assert changed_steps(steps, now) == {"train": ("code", "seed")}


def test_what_a_worker_claims_of_its_steps_is_made_harmless(tmp_path: Path) -> None:
    recorder = StepRecorder(tmp_path)
    with recorder.step("train") as step:
        step.metrics = {"rows": 3.0}
    with recorder.step("evaluate"):
        raise StepSkipped("no rows")
    with pytest.raises(OSError, match="full"), recorder.step("convert"):
        raise OSError("the disk is full")
    raw = (tmp_path / "steps.json").read_bytes()
    assert [s.status for s in decode(WorkerSteps, raw, limit=1 << 20).steps] == [
        "done", "skipped", "failed",
    ]  # fmt: skip
    hostile = b'{"steps": [{"name": "rollout", "began": 1}, {"name": "train", "began": 1e300}]}'
    (claim,) = claimed_steps(hostile)
    assert (claim.name, claim.began, claim.status) == ("train", 0.0, "failed")
    with pytest.raises(ContractError):
        claimed_steps(b"[]")


def test_every_step_of_a_run_is_recorded_with_what_it_made(ready: Ready) -> None:
    hub = ready("good")
    run = request(hub)
    assert run.status == "experiment", run.reason
    steps = {step.step: step for step in hub.runs.steps.of_run(run.id)}
    assert tuple(steps) == STEPS
    assert {step.status for step in steps.values()} == {"done"}
    assert list(steps["collect"].outputs["datasets"]) == ["fresh@1"]
    assert steps["evaluate"].metrics["accuracy"] > 0.9
    release = hub.registry.release("demo", "2.0")
    assert steps["convert"].outputs["manifest"] == release.digest == steps["gate"].inputs["release"]
    assert steps["certify"].metrics["golden_rows"] > 0
    assert steps["rollout"].outputs == {"version": "2.0", "experiment": run.experiment}
    assert all(step.resources["seconds"] >= 0 for step in steps.values())
    found = hub.runs.steps.records(model="demo", step="train", key=steps["train"].cache_key)
    assert [step.run for step in found] == [run.id]
    assert "golden rows" in hub.runs.log(run.id, "certify")
    assert "golden rows" not in hub.runs.log(run.id, "train")
    with pytest.raises(Conflict, match="only failed, rejected, cancelled ones resume"):
        hub.past_runs.resume(run.id, actor="me")


def test_a_conversion_that_failed_is_resumed_without_training_again(ready: Ready) -> None:
    hub = ready("fails_to_convert")
    run = request(hub)
    assert (run.status, statuses(hub, run)["train"]) == ("failed", "done"), run.reason
    assert statuses(hub, run)["convert"] == "failed"
    assert hub.runs.log(run.id, "train") == ""
    hub.past_runs.resume(run.id, actor="me", begin="convert")
    again = finish(hub)
    assert again.attempts == 2
    assert statuses(hub, again)["train"] == "reused"
    assert again.reason.startswith("conversion:")
    with pytest.raises(Conflict, match="cannot begin at gate, because convert failed"):
        hub.past_runs.resume(run.id, actor="me", begin="gate")


def test_a_rejected_run_is_taken_up_at_the_gate_once_its_rule_is_another(ready: Ready) -> None:
    hub = ready("good", extra="\ngate: {max_bytes: 10}")
    run = request(hub)
    assert (run.status, statuses(hub, run)["gate"]) == ("rejected", "failed"), run.reason
    text = hub.registry.policy_text("demo").replace("max_bytes: 10", "max_bytes: 1000000")
    hub.registry.set_policy("demo", text, "test")
    assert "taken up at gate" in hub.past_runs.resume(run.id, actor="me").reason
    again = finish(hub)
    assert (again.status, again.version, again.attempts) == ("experiment", "2.0", 1), again.reason


def test_a_run_whose_parent_serves_no_more_is_not_resumed(ready: Ready) -> None:
    hub = ready("raises")
    run = request(hub)
    other = hub.runs.get(run.id)
    hub.plans.promote("demo", "1.0", actor="me", reason="the same is no change")
    assert hub.past_runs.resume(run.id, actor="me", begin="train").begin == "train"
    hub.runs.cancel(run.id, actor="me", reason="seen enough")
    with pytest.raises(NotFound):
        hub.past_runs.resume(other.id + 1, actor="me")


def test_rows_that_were_refused_are_checked_again_with_other_thresholds(ready: Ready) -> None:
    hub = ready("good", extra="validation: {min_class_share: 0.49, told: []}")
    biased = data(900, 3)
    labels = biased.labels
    assert labels is not None
    keep = (labels == 1) | (np.arange(900) % 9 == 0)
    hub.datasets.add("demo", "train", biased.take(keep), actor="test")
    run = request(hub)
    assert run.status == "failed", run.reason
    assert "train@1: data:" in run.reason
    text = hub.registry.policy_text("demo").replace("0.49", "0.01")
    hub.registry.set_policy("demo", text, "test")
    assert "validate failed" in hub.past_runs.resume(run.id, actor="me").reason
    again = finish(hub)
    assert again.status == "experiment", again.reason
    assert again.datasets == run.datasets
    assert statuses(hub, again)["collect"] == "reused"


@pytest.mark.usefixtures("cold_workers")
def test_a_run_is_repeated_from_its_data_and_code_to_the_same_bytes(ready: Ready) -> None:
    old = data(400, 9)
    hub = ready("good", extra="rehearsal: {share: 0.25}")
    hub.datasets.add("demo", "train", Dataset.of(old.X, old.labels), actor="test")
    run = request(hub)
    assert run.status == "experiment", run.reason
    hub.past_runs.repeat(run.id, actor="me")
    again = finish(hub)
    assert (again.status, again.repeats) == ("repeated", run.id), again.reason
    assert "model.onnx" in again.reason
    assert "next.state" in again.reason
    compared = hub.past_runs.compare(run.id, again.id)
    differing = {(v.kind, v.name) for v in compared.values if not v.same}
    assert ("result", "status") in differing
    assert ("parameter", "seed") not in differing
    assert [v.version for v in hub.registry.versions("demo")] == ["1.0", "2.0"]


def test_a_hub_that_ends_while_it_trains_goes_on_with_the_same_rows(ready: Ready) -> None:
    hub = ready("good")
    hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    assert hub.runs.records("demo")[-1].status == "training"
    hub.runs.stop()  # as the end of the process does
    run = finish(hub)
    assert (run.status, run.attempts) == ("experiment", 2), run.reason
    assert statuses(hub, run)["collect"] == "reused"
    first = {s.step: s.status for s in hub.runs.steps.of_run(run.id, 1)}
    assert first["train"] == "interrupted"
    assert len(hub.datasets.records("demo", "fresh")) == 1
