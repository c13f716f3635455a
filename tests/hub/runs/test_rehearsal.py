"""Rehearsal: old rows among the fresh ones, so that a model does not forget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.row_hashes import row_hashes
from cloud_hub.hub import Hub
from cloud_hub.policy.schema.rehearsal import RehearsalPolicy
from cloud_hub.runs.jobs import mixed
from cloud_hub.runs.steps.rehearsal import rehearsal_rows
from cloud_hub.runs.store import RunRecord
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.errors import ContractError
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import data, finish, request, share


def hashes(rows: Dataset) -> set[int]:
    return set(row_hashes(rows.features).tolist())


def test_old_rows_are_the_share_that_the_policy_says_and_the_same_in_each_draw() -> None:
    fresh, known = data(300, 1), data(900, 2)
    drawn, said = rehearsal_rows(fresh, [known], RehearsalPolicy(0.25), seed=7)
    assert drawn is not None
    assert (len(drawn), said) == (100, "100 old rows beside 300 fresh ones")
    again, _ = rehearsal_rows(fresh, [known], RehearsalPolicy(0.25), seed=7)
    other, _ = rehearsal_rows(fresh, [known], RehearsalPolicy(0.25), seed=8)
    assert again is not None
    assert other is not None
    assert drawn.fingerprint() == again.fingerprint() != other.fingerprint()


def test_rows_of_the_holdout_and_rows_of_now_are_not_drawn() -> None:
    fresh, known = data(300, 1), data(300, 2)
    held = known.take(np.arange(280))
    drawn, said = rehearsal_rows(fresh, [known, fresh], RehearsalPolicy(0.5), seed=0, never=[held])
    assert drawn is not None
    assert said == "20 old rows beside 300 fresh ones, 300 were wanted"
    assert not hashes(drawn) & (hashes(held) | hashes(fresh))
    assert rehearsal_rows(fresh, [fresh], RehearsalPolicy(0.5), seed=0) == (
        None, "no rehearsal: all known rows are among those of now",
    )  # fmt: skip


def test_balanced_rows_have_as_many_of_each_class_as_there_are() -> None:
    known = data(2_000, 2)
    labels = known.labels
    assert labels is not None
    rare = known.take((labels == 0) | (np.arange(2_000) % 50 == 0))
    wanted = RehearsalPolicy(0.5, balanced=True)
    drawn, _ = rehearsal_rows(data(200, 1), [rare], wanted, seed=0)
    assert drawn is not None
    counts = np.unique(np.asarray(drawn.labels), return_counts=True)[1]
    assert counts.sum() == 200
    few = int((np.asarray(rare.labels) == 1).sum())
    assert counts.tolist() == [200 - min(few, 100), min(few, 100)]


def test_datasets_of_other_columns_give_nothing_and_say_so() -> None:
    wider = Dataset.of(np.zeros((5, 6)), np.arange(5) % 2)
    unlabelled = Dataset.of(data(5, 1).X)
    drawn, said = rehearsal_rows(data(50, 1), [wider, unlabelled], RehearsalPolicy(0.5), seed=0)
    assert (drawn, said) == (
        None, "no rehearsal: no dataset has rows with labels and these features",
    )  # fmt: skip


def test_old_rows_are_spread_among_the_fresh_ones() -> None:
    rows, old = mixed(data(300, 1), data(100, 2), seed=0)
    assert (len(rows), int(old.sum())) == (400, 100)
    assert hashes(rows.take(old)) == hashes(data(100, 2))
    assert 30 < int(old[:200].sum()) < 70


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"share": 1.0}, "expected a share of the rows"),
        ({"share": 0.5, "datasets": ("holdout",)}, "the holdout judges candidates"),
        ({"share": 0.5, "datasets": ()}, "expected at least one name"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        RehearsalPolicy(**values)  # type: ignore[arg-type]


def test_a_run_that_rehearses_does_not_forget_what_devices_see_no_more(ready: Ready) -> None:
    hub = ready("rehearsed", extra="rehearsal: {share: 0.5}", rows=0)
    old = data(1_200, 9)
    hub.datasets.add("demo", "train", Dataset.of(old.X, old.labels), actor="test")
    share(hub, 300)
    run = request(hub)
    assert run.status == "experiment", run.reason
    log = hub.runs.log(run.id, "train")
    fresh = int(log.split("fresh ")[1].split()[0])
    assert f"old {fresh}" in log
    collected = hub.runs.steps.get(run.id, "collect")
    assert collected.outputs["rehearsal"] == ["train@1"]
    assert f"{fresh} old rows beside {fresh} fresh ones" in collected.log


def corner(count: int, seed: int) -> Dataset:
    """Rows of a time in which the second feature does not vary: nothing shows what it does."""
    rows = data(count, seed)
    X = rows.X.copy()
    X[:, 1] *= 0.01
    return Dataset.of(X, (X[:, 0] + X[:, 1] > 0).astype(np.int64))


def serve_a_good_one(hub: Hub, old: Dataset, folder: Path) -> None:
    good = LogisticRegression(max_iter=300).fit(old.X, old.labels)
    release = convert(good, old.X, None, name="demo", version="1.1", out=folder / "demo-1.1")
    hub.registry.publish(release, actor="test", gated=True)
    hub.plans.promote("demo", "1.1", actor="test", reason="good")


def accuracy(hub: Hub, run: RunRecord, rows: Dataset) -> float:
    """Share of rows that a run's candidate is right on, on a device."""
    labels = rows.labels
    assert labels is not None
    with EdgeDevice.offline(hub.runs.folder(run.id) / "release") as device:
        answers = [device.predict(row).label for row in rows.X[:400]]
    return float(np.mean(np.asarray(answers) == labels[:400]))


def test_without_rehearsal_a_run_forgets_and_with_it_the_same_run_does_not(
    ready: Ready, tmp_path: Path
) -> None:
    hub = ready("good", extra="validation: {enabled: false}", rows=0)
    hub.registry.set_policy(
        "demo",
        hub.registry.policy_text("demo") + "gate: {max_fresh_drop: 0.2, max_forgetting: 0.1}\n",
        "test",
    )
    old, holdout = data(1_200, 9), data(1_200, 10)
    for name, rows in (("train", old), ("holdout", holdout)):
        hub.datasets.add("demo", name, Dataset.of(rows.X, rows.labels), actor="test")
    serve_a_good_one(hub, old, tmp_path)
    share(hub, rows=corner(400, 5), version="1.1")
    without = request(hub)
    (forgot,) = (check for check in without.gate if check.check == "forgetting")
    assert (without.status, forgot.verdict) == ("rejected", "worse"), without.reason
    forgetful = accuracy(hub, without, holdout)
    text = hub.registry.policy_text("demo")
    hub.registry.set_policy(
        "demo", text.replace("validation:", "rehearsal: {share: 0.5}\n  validation:"), "test"
    )
    said = hub.past_runs.resume(without.id, actor="me").reason
    assert said == "taken up at collect: rehearsal of collect changed"
    rehearsed = finish(hub)
    (kept,) = (check for check in rehearsed.gate if check.check == "forgetting")
    assert (rehearsed.status, kept.verdict) == ("experiment", "passed"), rehearsed.reason
    # The gate does not tell figures of the holdout; whoever has the rows can measure.
    assert forgetful < 0.8 < 0.95 < accuracy(hub, rehearsed, holdout)
