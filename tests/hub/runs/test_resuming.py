"""Which steps a run takes again, and that it takes no others."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from cloud_hub.errors import Conflict
from cloud_hub.hub import Hub, open_hub
from cloud_hub.runs import jobs
from cloud_hub.runs.steps.names import NEEDS, STEPS, TOGETHER, StepName, taken_with
from cloud_hub.runs.steps.resuming import first_step, steps_to_take
from cloud_hub.runs.steps.store import StepRecord, StepStatus
from cloud_hub.runs.store import RunCause, RunRecord
from converters import convert
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import data, finish, let_read, request, share

DAY = 86_400.0
STATUSES: tuple[StepStatus, ...] = ("done", "reused", "skipped", "failed", "interrupted", "running")


def causes(step: StepName, found: set[StepName]) -> bool:
    """Whether one of ``found`` is a reason to take a step again, other than itself."""
    beside = (other for other, first in TOGETHER.items() if first == step)
    return bool(found.intersection(NEEDS[step]) or found.intersection(beside))


@given(
    statuses=st.dictionaries(st.sampled_from(STEPS), st.sampled_from(STATUSES)),
    changed=st.sets(st.sampled_from(STEPS)),
)
def test_what_changed_is_taken_again_with_all_that_depends_on_it_and_nothing_else(
    statuses: dict[StepName, StepStatus], changed: set[StepName]
) -> None:
    steps = [StepRecord(1, "demo", 1, name, statuses[name], 0.0) for name in statuses]
    bad = {name for name in STEPS if statuses.get(name) not in ("done", "reused", "skipped")}
    taken = set(steps_to_take(steps, dict.fromkeys(changed, ("seed",))))
    assert bad | changed <= taken | set(TOGETHER)
    for name in STEPS:
        if name in taken:
            assert name in bad | changed or causes(name, taken)
        else:
            assert not causes(name, taken)
            assert name not in bad | changed
    if taken:
        begin, why = first_step(steps, dict.fromkeys(changed, ("seed",)))
        assert begin == next(name for name in STEPS if name in taken)
        assert why
    else:
        with pytest.raises(Conflict, match="nothing has changed"):
            first_step(steps, {})


def test_a_validation_decides_whether_to_train_and_not_on_what() -> None:
    assert taken_with(["validate"]) == ("validate",)
    assert taken_with(["gate"]) == ("gate", "rollout")
    assert taken_with(["train"]) == ("train", "evaluate", "convert", "certify", "gate", "rollout")


def keys(hub: Hub, run: RunRecord) -> dict[str, str]:
    return {step.step: step.cache_key for step in hub.runs.steps.of_run(run.id)}


def change(hub: Hub, before: str, after: str) -> None:
    text = hub.registry.policy_text("demo")
    assert before in text
    hub.registry.set_policy("demo", text.replace(before, after), "test")


def test_the_keys_of_two_runs_differ_where_their_inputs_do(ready: Ready, tmp_path: Path) -> None:
    folder = tmp_path / "training"  # of its own: files of the repository may change meanwhile
    folder.mkdir()
    (folder / "model_code.py").write_text("def train(context):\n    raise RuntimeError('no')\n")
    let_read(folder)
    hub = ready(
        how="entry: model_code:train",
        extra="seed: 1\n  validation: {min_class_share: 0.01}",
        path=folder,
    )
    first = keys(hub, request(hub))
    change(hub, "min_class_share: 0.01", "min_class_share: 0.02")
    second = keys(hub, request(hub))
    change(hub, "seed: 1", "seed: 2")
    third = keys(hub, request(hub))
    assert {name for name in first if first[name] != second[name]} == {"validate"}
    assert {name for name in second if second[name] != third[name]} == {"train"}


def test_other_thresholds_of_the_data_do_not_train_again(ready: Ready) -> None:
    hub = ready("fails_to_convert", extra="validation: {min_class_share: 0.01}")
    run = request(hub)
    change(hub, "min_class_share: 0.01", "min_class_share: 0.02")
    said = hub.past_runs.resume(run.id, actor="me").reason
    assert said == "taken up at validate: thresholds of validate changed"
    again = finish(hub)
    statuses = {step.step: step.status for step in hub.runs.steps.of_run(run.id)}
    assert again.reason.startswith("conversion:")
    assert (statuses["validate"], statuses["train"]) == ("reused", "reused")
    assert statuses["convert"] == "failed"
    first = {step.step: step.status for step in hub.runs.steps.of_run(run.id, 1)}
    assert (first["train"], again.attempts) == ("done", 2)


def test_a_hub_killed_before_it_had_copied_the_model_still_finds_it(ready: Ready) -> None:
    hub = ready("fails_to_convert")
    run = request(hub)
    folder = hub.runs.folder(run.id)
    hub.past_runs.resume(run.id, actor="me", begin="convert")
    # As a kill leaves it between the new attempt and its files.
    hub.runs._store.note(run, attempts=2)
    run = hub.runs.get(run.id)
    attempts = jobs.attempts_of(folder.parent, run.attempts)
    assert jobs.newest_trained(attempts, run.id) == folder
    assert finish(hub).reason.startswith("conversion:")


def test_a_run_that_found_too_few_rows_waits_for_them_once_more(ready: Ready) -> None:
    hub = ready("good", rows=0)
    hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time() + 2 * DAY)
    run = hub.runs.records("demo")[-1]
    assert run.reason == "only 0 of 200 fresh rows were shared"
    hub.runs._store.note(run, created_at=run.created_at - 5 * DAY)
    assert "taken up at collect" in hub.past_runs.resume(run.id, actor="me").reason
    for _ in range(2):
        hub.runs.tick(time.time())
    assert hub.runs.get(run.id).reason == "0 of 200 fresh rows"
    share(hub)
    assert finish(hub).status == "experiment"


def test_a_run_improves_what_serves_when_it_begins(ready: Ready, tmp_path: Path) -> None:
    hub = ready("good", rows=0)
    run = hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    X = data(300, 1).X
    better = convert(
        LogisticRegression().fit(X, data(300, 1).labels), X, None, name="demo", version="1.1",
        out=tmp_path / "demo-1.1",
    )  # fmt: skip
    hub.registry.publish(better, actor="test", gated=True)
    hub.plans.promote("demo", "1.1", actor="me", reason="better")
    hub.runs.tick(time.time())
    assert (run.parent, hub.runs.get(run.id).parent) == ("1.0", "1.1")


def test_trouble_of_one_run_ends_it_in_words_and_the_next_one_goes_on(ready: Ready) -> None:
    hub = ready("good")
    place = hub.settings.data / "runs"
    place.write_text("no folder")
    run = request(hub)
    assert (run.status, run.attempts) == ("failed", 1)
    assert f"Not a directory; edge-hub runs resume {run.id} takes it up again" in run.reason
    place.unlink()
    assert hub.past_runs.resume(run.id, actor="me").begin == "train"
    assert finish(hub).status == "experiment"


def test_a_run_that_another_process_of_the_hub_cancels_gives_its_slot_back(ready: Ready) -> None:
    hub = ready("hangs")
    other = open_hub(hub.settings)
    try:
        run = hub.runs.request("demo", RunCause("manual"))
        hub.runs.tick(time.time())
        assert hub.runs._training.busy() == 1
        assert other.runs.cancel(run.id, actor="me", reason="wrong data").status == "cancelled"
        hub.runs.tick(time.time())
        assert hub.runs._training.busy() == 0
        assert hub.runs.get(run.id).status == "cancelled"
        with pytest.raises(Conflict, match="is cancelled"):
            hub.runs.cancel(run.id, actor="me", reason="again")
    finally:
        other.close()


def test_a_run_that_is_cancelled_while_the_gate_is_asked_starts_no_canary(ready: Ready) -> None:
    hub = ready("good")
    check = hub.runs.offline_gate.check

    def cancelled_meanwhile(*args: object, **values: object) -> object:
        hub.runs.cancel(hub.runs.records("demo")[-1].id, actor="me", reason="wrong data")
        return check(*args, **values)  # type: ignore[arg-type]

    hub.runs.offline_gate.check = cancelled_meanwhile  # type: ignore[method-assign,assignment]
    run = request(hub)
    assert (run.status, run.reason) == ("cancelled", "me: wrong data")
    assert [version.version for version in hub.registry.versions("demo")] == ["1.0"]
    assert hub.experiments.records("demo") == []


def test_runs_asked_for_at_once_in_two_processes_are_one(ready: Ready) -> None:
    hub = ready("good", rows=0)
    others = [open_hub(hub.settings) for _ in range(3)]
    try:
        gate = threading.Barrier(4)

        def ask(each: Hub) -> None:
            gate.wait()
            each.runs.request("demo", RunCause("manual", reason="at once"))

        threads = [threading.Thread(target=ask, args=[each]) for each in (hub, *others)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for each in others:
            each.close()
    (run,) = hub.runs.records("demo")
    assert len(run.causes) == 4


def test_rows_of_runs_are_kept_no_longer_than_what_devices_shared(ready: Ready) -> None:
    hub = ready("raises")
    run = request(hub)
    folder = hub.runs.folder(run.id)
    hub.past_runs.clean(time.time())
    assert (folder / jobs.FRESH).exists()
    kept = hub.registry.policy("demo").retention.sample_days * DAY
    hub.past_runs.clean(time.time() + kept + DAY)
    left = {path.suffix for path in folder.rglob("*")}
    assert not left & {".parquet", ".npy", ".npz"}
    assert (folder / "job.json").exists()
    with pytest.raises(Conflict, match="deleted by retention"):
        jobs.held_rows(folder)
