"""Trainings that join stored features see the same ones again, though the store has moved on."""

from __future__ import annotations

import time

import pyarrow as pa

from cloud_hub.hub import Hub
from cloud_hub.runs.store import RunCause, RunRecord
from tests.hub.features.shop import TEXT, keep
from tests.hub.runs.conftest import Ready
from tests.hub.runs.retraining import finish, request

# The release has x0 to x3, so devices get none of these: they are for trainings.
SET = TEXT.replace("f2, dtype: float32, default: 0.25", "f2, dtype: float64, default: 0.25")


def fill(hub: Hub, ago: float, f0: float) -> None:
    now = time.time()
    at = [now - ago]
    keep(hub, pa.table({"user_id": ["a"], "event_timestamp": at, "f0": [f0], "f2": [1.0]}), now)


def move_on(hub: Hub) -> None:
    """Correct the past, change what is declared, forget what was there."""
    hub.feature_sets.apply(SET.replace("default: -1", "default: 500"), actor="test")
    fill(hub, 3_000, 77.0)
    fill(hub, 7_200, 3.0)
    hub.feature_sets.apply(
        SET.replace("default: -1", "default: 600") + "history: 1s\n", actor="test"
    )
    hub.feature_sets.tick(time.time())
    assert hub.feature_sets.status("user_orders").rows == 1


def joined(hub: Hub, run: RunRecord) -> list[str]:
    """What each attempt joined."""
    logs = sorted((hub.settings.data / "runs" / str(run.id)).glob("attempt-*/log.txt"))
    lines = [line for log in logs for line in log.read_text().splitlines()]
    return [line for line in lines if line.startswith("joined")]


def test_a_run_is_repeated_with_the_features_of_then(ready: Ready) -> None:
    hub = ready("by_features")
    hub.feature_sets.apply(SET, actor="test")
    fill(hub, 3_600, 42.0)
    run = request(hub)
    assert run.status == "experiment", run.reason
    (taken,) = hub.runs.steps.get(run.id, "train").inputs["features"]
    assert taken == "user_orders@1"
    move_on(hub)
    hub.past_runs.repeat(run.id, actor="me")
    again = finish(hub)
    assert again.status == "repeated", again.reason
    assert joined(hub, run) == joined(hub, again) == ["joined [42.0, -1.0] [1.0, 0.25]"]
    (use,) = hub.feature_sets.history.uses(model="demo")
    assert (use.version, use.kind, use.set_version) == ("2.0", "trained", 1)


def test_a_run_that_is_taken_up_again_sees_the_features_of_its_beginning(ready: Ready) -> None:
    hub = ready("fails_by_features")
    hub.feature_sets.apply(SET, actor="test")
    fill(hub, 3_600, 42.0)
    run = request(hub)
    assert run.status == "failed"
    move_on(hub)
    hub.past_runs.resume(run.id, actor="me", begin="train")
    finish(hub)
    hub.past_runs.resume(run.id, actor="me", begin="validate")
    again = finish(hub)
    assert again.attempts == 3
    assert joined(hub, run) == ["joined [42.0, -1.0] [1.0, 0.25]"] * 3
    # From the first step on everything is collected anew.
    hub.past_runs.resume(run.id, actor="me", begin="collect")
    finish(hub)
    assert joined(hub, run)[-1] == "joined [3.0, 600.0] [1.0, 0.25]"


def test_a_hub_that_ends_while_it_trains_goes_on_with_the_same_features(ready: Ready) -> None:
    hub = ready("by_features")
    hub.feature_sets.apply(SET, actor="test")
    fill(hub, 3_600, 42.0)
    hub.runs.request("demo", RunCause("manual"))
    hub.runs.tick(time.time())
    hub.runs.stop()  # as the end of the process does
    move_on(hub)
    run = finish(hub)
    assert (run.status, run.attempts) == ("experiment", 2), run.reason
    assert joined(hub, run)[-1] == "joined [42.0, -1.0] [1.0, 0.25]"
