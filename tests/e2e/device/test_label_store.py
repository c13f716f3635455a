"""Labels that come after the application restarted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_sdk.contract.messages import FeedbackReport
from edge_sdk.contract.window import Window
from edge_sdk.errors import InputError
from edge_sdk.state_db import StateDatabase
from edge_sdk.telemetry.label_join import LABELLED, ErrorRules, Unlabelled
from edge_sdk.telemetry.label_store import STORED, LabelStore
from tests.conftest import Publish
from tests.e2e.live import opened, publish_plan, told, trial
from tests.edge.builders import rows
from tests.servers import HubProcess

WINDOW = Window("m", "1.0", 60, 120, "exp", "b")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateDatabase]:
    store = StateDatabase(tmp_path / "state")
    yield store
    store.close()


def left(number: int, answer: object = 2, own: object = 2) -> Unlabelled:
    return Unlabelled(number, 1, answer, own)  # type: ignore[arg-type]


def test_a_label_after_a_restart_counts_for_the_window_and_arm_of_its_prediction(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("late")
    other = publish("late", "1.1", seed=5, promote=False)
    publish_plan(hub, "late", experiment=trial("canary", other))
    with opened(tmp_path / "d", hub, "late") as device:
        made = [device.predict(row) for row in rows(4)]
        device.feedback(made[3].id, label=made[3].label)
    publish_plan(hub, "late", experiment=None)
    with opened(tmp_path / "d", hub, "late") as device:
        device.sync()
        assert device.status()["version"] == "1.0"
        told(device, FeedbackReport)
        device.feedback(made[0].id, label=made[0].label)
        device.feedback(made[1].id, label=(made[1].label + 1) % 3)
        device.feedback(made[1].id, reward=2.5)
        with pytest.raises(InputError, match="has its label or reward already"):
            device.feedback(made[0].id, label=0)
        with pytest.raises(InputError, match="expected one like"):
            device.feedback(made[2].id, label="two")
        for gone in (made[3].id, "gone-7"):  # the first had its label before the restart
            with pytest.raises(InputError, match="expected the id of a recent prediction"):
                device.feedback(gone, label=1)
        found = [f for f in told(device, FeedbackReport) if f.window.arm == "b"]
    (report,) = found
    assert (report.labelled, report.correct, report.own_labelled) == (2, 1, 2)
    assert (report.rewards, report.reward_sum) == (1, 2.5)
    assert report.by_source == {"model": (2, 1)}
    assert (report.window.version, report.window.experiment) == ("1.1", "canary-1")


def test_outcomes_of_an_earlier_start_count_in_the_bucket_of_their_key(
    store: StateDatabase,
) -> None:
    LabelStore(store).keep("t", WINDOW, [left(1)._replace(bucket=7), left(2), left(3)])
    with store.transaction() as db:
        db.execute("UPDATE waiting SET bucket = 200 WHERE number = 3")  # no disk's word for it
    kept = LabelStore(store)
    for number in ("1", "2", "3"):
        assert kept.feedback("t", number, 2, 1.5)
    (report,) = kept.collect()
    assert isinstance(report, FeedbackReport)
    buckets = report.buckets
    assert buckets is not None
    assert (report.rewards, sum(buckets.rewards), buckets.reward_sum[7]) == (3, 1, 1.5)
    assert (buckets.labelled[7], buckets.correct[7], sum(buckets.labelled)) == (1, 1, 1)


def test_a_number_of_a_regressor_is_joined_by_how_far_off_it_is(store: StateDatabase) -> None:
    kept = LabelStore(store)
    kept.keep("t", WINDOW, [left(1, 2.5, None)])
    assert kept.feedback("t", "1", 2.0, None)
    assert kept.collect() == [
        FeedbackReport(WINDOW, measured=1, error_sum=0.5, error_squares=0.25, error_fourths=0.0625)
    ]
    assert kept.collect() == []


def test_a_number_is_right_within_what_the_policy_says_also_after_a_restart(
    store: StateDatabase,
) -> None:
    kept = LabelStore(store)
    kept.keep("t", WINDOW, [left(1, 2.5, None), left(2, 2.5, None)])
    assert kept.feedback("t", "1", 2.0, None, ErrorRules(0.5))
    assert kept.feedback("t", "2", 1.0, None, ErrorRules(0.5, largest=1.0))
    (report,) = kept.collect()
    assert (report.labelled, report.correct, report.own_labelled) == (2, 1, 2)
    assert (report.measured, report.error_sum) == (2, 1.5)  # the second is cut at 1


def test_what_was_labelled_after_it_was_copied_is_not_labelled_again(store: StateDatabase) -> None:
    kept = LabelStore(store)
    kept.keep("t", WINDOW, [left(1), left(2)])
    kept.settle([("t", "1", LABELLED)])
    with pytest.raises(InputError, match="already"):
        kept.feedback("t", "1", 2, None)
    assert kept.feedback("t", "1", None, 1.0)
    assert kept.feedback("t", "2", 2, None)


def test_the_oldest_go_when_there_are_too_many(store: StateDatabase) -> None:
    kept = LabelStore(store)
    kept.keep("t", WINDOW, map(left, range(1, STORED + 11)))
    assert store.query("SELECT count(*), min(number) FROM waiting") == [(STORED, 11)]
    assert not kept.feedback("t", "10", 2, None)
    assert kept.feedback("t", "11", 2, None)


@pytest.mark.parametrize("number", ["", "x", "1.4", "-1", "9" * 30])
def test_a_number_that_names_nothing_is_not_found(store: StateDatabase, number: str) -> None:
    assert not LabelStore(store).feedback("t", number, 1, None)


def test_only_an_application_that_gives_labels_has_its_windows_copied(store: StateDatabase) -> None:
    assert not LabelStore(store).used
    LabelStore(store).mark_used()
    assert LabelStore(store).used


def test_a_label_after_a_restart_counts_for_the_groups_of_its_prediction(
    store: StateDatabase,
) -> None:
    kept = LabelStore(store)
    kept.keep(
        "t", WINDOW, [left(i)._replace(groups=(("sex", "f"), ("age", "..30"))) for i in (1, 2)]
    )
    kept.keep("t", WINDOW, [left(3, 2, None)._replace(groups=(("sex", "m"), ("age", "..30")))])
    again = LabelStore(store)
    for number, label in (("1", 2), ("2", 0), ("3", 2)):
        assert again.feedback("t", number, label, None)
    (report,) = again.collect()
    assert isinstance(report, FeedbackReport)
    assert (report.labelled, report.own_labelled) == (3, 2)  # the cloud alone answered the third
    assert report.groups == {"sex": {"f": (2, 1)}, "age": {"..30": (2, 1)}}
    kept.keep(
        "t", WINDOW, [left(4), left(5)._replace(groups=(("sex", "f"),))]
    )  # of before, and of now
    for number in ("4", "5"):
        assert again.feedback("t", number, 2, None)
    (report,) = again.collect()
    assert isinstance(report, FeedbackReport)
    assert (report.own_labelled, report.groups) == (2, {})
