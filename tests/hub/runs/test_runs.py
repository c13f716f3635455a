"""Runs: a real worker process, and every way in which training goes wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cloud_hub.data.dataset import Dataset, stacked
from cloud_hub.errors import Conflict
from cloud_hub.hub import Hub
from cloud_hub.isolation.process_tree import family
from cloud_hub.runs import jobs, worker
from cloud_hub.runs.jobs import TrainingJob
from cloud_hub.runs.store import RunCause
from converters import convert
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import (
    CODE,
    NOW,
    POLICY,
    data,
    finish,
    gone,
    request,
    share,
    unchanged,
)  # fmt: skip
from tests.waiting import PATIENCE, wait_for


@pytest.mark.usefixtures("cold_workers")
def test_a_run_trains_gates_publishes_and_starts_an_experiment(ready: Ready) -> None:
    hub = ready("good", rows=0)
    hub.runs.request("demo", RunCause("manual"))
    share(hub)
    run = finish(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    record = hub.registry.version("demo", "2.0")
    assert (record.parent, record.mode, record.rows > 0) == ("1.0", "stateless", True)
    (check,) = [c for c in run.gate if c.check == "fresh"]
    assert check.candidate > check.incumbent
    plan = hub.plans.current("demo")
    assert plan is not None
    assert plan.experiment is not None
    assert hub.registry.training_state("demo", "2.0") is not None
    made, parent = (hub.registry.release("demo", version) for version in ("2.0", "1.0"))
    assert made.manifest.groups == parent.manifest.groups
    assert {g.column for g in made.certificate().groups} == {"x2"}  # shared rows tell no sex


def test_a_run_whose_policy_names_a_shadow_ends_with_it(ready: Ready) -> None:
    hub = ready("good")
    text = hub.registry.policy_text("demo") + "experiment: {strategy: shadow}\n"
    hub.registry.set_policy("demo", text, "test")
    run = request(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    assert run.experiment == "demo-shadow-1"
    hub.experiments.stop("demo-shadow-1", actor="me", reason="seen enough")
    hub.runs.tick(time.time())
    done = hub.runs.get(run.id)
    assert (done.status, done.reason) == ("rolled_back", "seen enough")


def test_a_stateful_run_continues_from_the_parents_state(ready: Ready) -> None:
    hub = ready("stateful", "stateful")
    run = request(hub)
    assert (run.status, run.version, run.mode) == ("experiment", "1.1", "stateful"), run.reason
    assert hub.registry.version("demo", "1.1").mode == "stateful"


def test_a_training_may_return_a_file_that_gives_logits_alone(ready: Ready) -> None:
    hub = ready("logits_alone")
    run = request(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    manifest = hub.registry.release("demo", "2.0").manifest
    assert (manifest.task, manifest.signature.classes) == ("classification", (0, 1))
    assert manifest.metrics["score"] > 0.9


RESTARTS = {
    "another architecture": (
        "other_architecture",
        "new architecture: model was LogisticRegression",
    ),
    "a restart that the training declares": ("declares_a_restart", "a wider embedding"),
}


@pytest.mark.parametrize("case", RESTARTS)
def test_a_stateful_run_that_began_anew_is_stateless_and_says_why(ready: Ready, case: str) -> None:
    entry, reason = RESTARTS[case]
    run = request(ready(entry, "stateful"))
    assert (run.status, run.version, run.mode) == ("experiment", "2.0", "stateless"), run.reason
    assert reason in run.mode_reason


def test_new_columns_of_the_training_set_force_stateless(ready: Ready) -> None:
    hub = ready("good", "stateful")
    wider = np.zeros((10, 6), np.float32)
    hub.datasets.add("demo", "train", Dataset.of(wider, np.arange(10) % 2), actor="test")
    run = request(hub)
    assert (run.version, run.mode) == ("2.0", "stateless"), run.reason
    assert run.mode_reason == "new features: dataset train has 6 columns, not 4"


def test_a_training_may_keep_a_state_of_its_own(ready: Ready) -> None:
    hub = ready("keeps_its_own_state", "stateful")
    assert request(hub).version == "1.1"
    assert hub.registry.training_state("demo", "1.1") == b"epoch ."  # the end of a pickle


def test_a_candidate_with_other_inputs_is_held_for_a_person(ready: Ready) -> None:
    hub = ready("more_features", "stateful")
    run = request(hub)
    assert (run.status, run.version) == ("held", "2.0"), run.reason
    assert run.mode_reason == "new features: takes 5 columns, its parent takes 4"
    unchanged(hub)
    hub.runs.override(run.id, actor="me", reason="the app is ready")
    assert hub.registry.version("demo", "2.0").override == "the app is ready"
    plan = hub.plans.current("demo")
    assert plan is not None
    assert plan.experiment is None


FAILURES = {
    "one that raises": ("raises", "failed", "RuntimeError: no disk left on the moon"),
    "one that dies": ("dies", "failed", "ended by SIGABRT"),
    "one that makes it worse": ("worse", "rejected", "fresh"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_training_that_goes_wrong_ends_with_its_reason_and_changes_nothing(
    ready: Ready, case: str
) -> None:
    entry, status, reason = FAILURES[case]
    hub = ready(entry)
    run = request(hub)
    assert (run.status, reason in run.reason) == (status, True), run.reason
    unchanged(hub)


def test_a_training_that_hangs_is_ended_with_all_that_it_started(
    ready: Ready,
) -> None:
    hub = ready("hangs", extra="timeout: 1h")
    hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    (training,) = hub.runs._training._running.values()
    wait_for(lambda: (training.work / "helper").exists(), "the training's helper")
    everybody = family(training.process._process.pid)
    training.process._began -= 3_600  # an hour goes by
    run = finish(hub)
    assert run.reason == "took longer than the 3600 s that the policy allows"
    unchanged(hub)
    assert "waiting for godot" in hub.runs.log(run.id)
    wait_for(lambda: all(map(gone, everybody)), "the end of the helper")
    assert len(everybody) >= 3  # launcher, training, helper
    assert not training.work.exists()


@pytest.mark.usefixtures("cold_workers")
def test_a_training_that_leaks_is_ended(ready: Ready) -> None:
    hub = ready("leaks", extra="memory_mb: 600")
    run = request(hub)
    assert "of memory, the policy allows 600 MB" in run.reason
    assert 600 < run.peak_mb < 2_000
    unchanged(hub)


def test_a_training_that_prints_too_much_is_ended(ready: Ready) -> None:
    run = request(ready("prints_too_much"))
    assert run.reason == "printed more than 32 MB"


@pytest.mark.usefixtures("cold_workers")
def test_the_context_carries_seeds_and_the_window(ready: Ready) -> None:
    hub = ready("seeded", extra="seed: 7")
    logs = []
    for _ in range(2):
        hub.runs.request("demo", RunCause("manual"), since=NOW - 9.0)
        run = finish(hub)
        assert run.status == "experiment", run.reason
        logs.append(next(s for s in hub.runs.log(run.id).splitlines() if s.startswith("drawn")))
        hub.plans.rollback("demo", actor="test", reason="again")
        hub.experiments.tick(time.time())
        hub.runs.tick(time.time())
        assert f"window: ({NOW - 9.0}, " in hub.runs.log(run.id)
    assert logs[0] == logs[1]
    assert logs[0].endswith(" 7")


SCRIPT = """
import json, os, pathlib, pickle, numpy as np
from sklearn.linear_model import LogisticRegression
run, out = pathlib.Path(os.environ["EDGE_RUN"]), pathlib.Path(os.environ["EDGE_OUT"])
context = json.loads((run / "context.json").read_text())
assert context["mode"] == "stateless" and context["parent"] == "1.0"
rows = np.load(run / "fresh.npz")
model = LogisticRegression().fit(rows["X"], rows["y"])
(out / "model.pkl").write_bytes(pickle.dumps(model))
(out / "state").write_bytes(b"mine")
"""


def test_a_command_trains_and_leaves_a_model(ready: Ready, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    tmp_path.chmod(0o755)  # for the worker's user
    hub = ready(how=f"command: [{sys.executable}, train.py]", path=tmp_path)
    run = request(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    assert hub.registry.training_state("demo", "2.0") == b"mine"


WORKERS: dict[str, tuple[dict[str, Any], str]] = {
    "a training that exits": ({"entry": "exits"}, "SystemExit: I am done here"),
    "one that returns no model": ({"entry": "wrong_type"}, "expected a fitted estimator"),
    "one that returns a model without training it": ({"entry": "unfitted"}, "conversion:"),
    "one that is not there": ({"entry": "nobody"}, "has no attribute 'nobody'"),
    "one whose columns nobody has": ({"entry": "more_features_without_rows"}, "conversion:"),
    "one without the parent's state": ({"entry": "stateful"}, "publish with --training-state"),
    "a command that fails": ({"command": ("sh", "-c", "exit 3")}, "ended with status 3"),
    "one that leaves nothing": ({"command": ("true",)}, "expected one of ('model.onnx'"),
    "a program that is not there": ({"command": ("no-such-program",)}, "FileNotFoundError"),
    "one that leaves noise": (
        {"command": ("sh", "-c", "echo noise > $EDGE_OUT/model.onnx")}, "conversion:",
    ),
    "a pipeline that left nothing": ({}, "expected one of ('model.onnx'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WORKERS)
def test_a_worker_ends_with_a_result_that_says_why(tmp_path: Path, case: str) -> None:
    how, reason = WORKERS[case]
    job = TrainingJob(
        model="demo", run=1, parent="1.0", mode="stateful", mode_reason="",
        versions={"stateful": "1.1", "stateless": "2.0"}, columns=4, window=(0.0, 1.0), seed=0,
        entry=f"tests.hub.runs.trainers:{how['entry']}" if "entry" in how else None,
        command=how.get("command"),
    )  # fmt: skip
    folder = tmp_path / "attempt-1"
    jobs.prepare(folder, job, jobs.RunFiles(data(200, 2)))
    assert worker.main(folder) == 1
    done = jobs.result(folder)
    assert done is not None
    assert (done.ok, reason in done.reason) == (False, True), done
    assert not (folder / "release").exists()


def test_a_run_waits_for_enough_fresh_rows_and_gives_up_in_the_end(ready: Ready) -> None:
    hub = ready("good", extra="wait: 1h", rows=50)
    hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    assert hub.runs.records("demo")[0].reason == "50 of 200 fresh rows"
    hub.runs.tick(time.time() + 3_601)
    assert hub.runs.records("demo")[0].status == "failed"


def test_a_second_cause_joins_the_run_that_is_active(ready: Ready) -> None:
    hub = ready("good", rows=0)
    hub.runs.request("demo", RunCause("drift"))
    hub.runs.request("demo", RunCause("performance"))
    (run,) = hub.runs.records("demo")
    assert [cause.kind for cause in run.causes] == ["drift", "performance"]


def test_a_run_whose_worker_died_with_the_hub_is_started_once_more(ready: Ready) -> None:
    hub = ready("hangs")
    hub.runs.request("demo", RunCause("manual"))
    for _ in range(2):
        hub.runs.tick(time.time())
        assert hub.runs.records("demo")[0].status == "training"
        hub.runs.stop()  # as a killed hub leaves it
        hub.runs.tick(time.time())
    run = hub.runs.records("demo")[0]
    assert (run.status, run.attempts) == ("failed", 2)


def test_a_worker_ends_when_the_hub_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from cloud_hub.isolation.process_limits import LimitedProcess, ProcessLimits\n"
        "child = 'from cloud_hub.isolation.kernel import end_with_parent; end_with_parent();'\n"
        "child += 'import time; print(1, flush=True); time.sleep(3_600)'\n"
        f"log = Path({str(tmp_path / 'log')!r})\n"
        "limits = ProcessLimits(3_600, 2_000)\n"
        "w = LimitedProcess([sys.executable, '-c', child], log, limits, dict(os.environ))\n"
        "while not log.exists() or not log.read_text(): time.sleep(0.05)\n"
        "print(w._process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE
    )
    wait_for(lambda: gone(int(done.stdout)), "the end of the worker")


def test_a_run_is_cancelled_by_hand(ready: Ready) -> None:
    hub = ready("hangs")
    run = hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    done = hub.runs.cancel(run.id, actor="me", reason="wrong data")
    assert (done.status, done.reason) == ("cancelled", "me: wrong data")
    with pytest.raises(Conflict, match="is cancelled"):
        hub.runs.cancel(run.id, actor="me", reason="again")
    unchanged(hub)


def test_a_rejected_candidate_goes_out_with_a_reason_that_stays(ready: Ready) -> None:
    hub = ready("worse")
    run = request(hub)
    assert run.status == "rejected"
    done = hub.runs.override(run.id, actor="me", reason="the labels are wrong")
    assert done.status == "experiment"
    assert hub.registry.version("demo", "2.0").override == "the labels are wrong"
    noted = [e for e in hub.audit.entries("demo") if e.action == "gate overridden"]
    assert noted[0].detail["gate"][0]["ok"] is False
    with pytest.raises(Conflict, match="is experiment, not one of"):
        hub.runs.override(run.id, actor="me", reason="again")


def test_one_training_at_a_time_over_all_models(ready: Ready, tmp_path: Path) -> None:
    hub = ready("hangs")
    other = convert(
        LogisticRegression().fit(*split()), split()[0], None, name="other", out=tmp_path / "o-1.0"
    )
    hub.registry.publish(other, actor="test")
    hub.plans.promote("other", "1.0", actor="test", reason="first")
    own = POLICY.format(how="entry: trainers:hangs", mode="stateless", extra="", path=CODE)
    own = own.replace("200", "0")
    hub.registry.set_policy("other", own, "test")
    for model in ("demo", "other"):
        hub.runs.request(model, RunCause("manual"))
    hub.runs.tick(time.time())
    assert [run.status for run in hub.runs.records()] == ["training", "waiting"]
    assert hub.runs.records("other")[0].reason == "waiting for another training to end"
    hub.runs.stop()


def split() -> tuple[np.ndarray, np.ndarray]:
    rows = data(100, 5)
    assert rows.labels is not None
    return rows.X, rows.labels


def test_a_model_without_a_training_policy_has_no_runs(serving: Hub) -> None:
    with pytest.raises(Conflict, match="no train section"):
        serving.runs.request("demo", RunCause("manual"))


def test_copies_of_a_row_never_stand_on_both_sides_of_the_split() -> None:
    rows = data(200, 3)
    held = jobs.held_back(stacked([rows, rows]))
    assert (held[:200] == held[200:]).all()
    assert 0.1 < held.mean() < 0.4
