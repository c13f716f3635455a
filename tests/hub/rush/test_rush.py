"""A rare day in a real hub: it trains in the rush, and goes back by itself, or not."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select, update

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.hub import Hub, open_hub
from cloud_hub.runs.store import RunCause, RunRecord
from cloud_hub.telemetry.tables import samples
from tests.hub.runs.conftest import Ready, poor, ready  # noqa: F401, the fixtures
from tests.hub.runs.retraining import data, finish

DAY = 86_400.0
NOW = datetime.datetime.now(datetime.UTC)
YESTERDAY = (NOW - datetime.timedelta(days=1)).date().isoformat()
TWO_WEEKS_AGO = (NOW - datetime.timedelta(days=14)).date().isoformat()
MONTH_AGO = (NOW - datetime.timedelta(days=31)).date().isoformat()
CALENDAR = f"""
calendar:
  days:
  - name: sale
    dates: ["{MONTH_AGO}", "{YESTERDAY}"]
    days: 3
    train_every: 1h
    max_forgetting: 1.0
"""
OVER = time.time() + 3 * DAY


def rushed(ready: Ready, *, rows: int = 300) -> Hub:  # noqa: F811
    hub = ready("good", rows=rows)
    text = hub.registry.policy_text("demo") + CALENDAR
    hub.policies.apply("demo", text, actor="test", override="tests")
    return hub


def trained(hub: Hub, *, promote: bool = True) -> RunRecord:
    """Let the trigger of the day fire and its run train; by default its version serves then."""
    (firing,) = hub.triggers.tick(time.time())
    assert (firing.trigger, firing.kind) == ("day-sale", "day")
    run = finish(hub)
    assert (run.status, run.version) == ("experiment", "2.0"), run.reason
    assert run.experiment is not None
    if promote:
        hub.experiments.promote(run.experiment, actor="test", reason="it won")
        hub.runs.tick(time.time())
    return run


def serving(hub: Hub) -> str:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan.serving.version


def holdout(hub: Hub, *, like_before: bool) -> None:
    """Normal rows: as the first version has it, or as the shared rows of the day."""
    rows = data(600, 7)
    flipped = (rows.X[:, ::-1][:, :2].sum(axis=1) > 0).astype(np.int64)
    labels = flipped if like_before else rows.labels
    hub.datasets.add("demo", "holdout", Dataset.of(rows.X, labels), actor="test")


def test_a_version_of_the_rush_is_marked_and_goes_back_when_the_day_is_over(
    ready: Ready,  # noqa: F811
) -> None:
    hub = rushed(ready)
    holdout(hub, like_before=True)
    assert serving(hub) == "1.0"
    run = trained(hub)
    (mark,) = hub.rush.status("demo", now=time.time()).versions
    assert (mark.version, mark.before, mark.run, mark.outcome) == ("2.0", "1.0", run.id, None)
    hub.rush.tick(time.time())
    assert serving(hub) == "2.0"
    hub.rush.tick(OVER)
    assert serving(hub) == "1.0"
    (mark,) = hub.rush.status("demo", now=OVER).versions
    assert mark.outcome == "went_back"
    assert "surely worse on the holdout" in mark.reason
    assert mark.checks
    statuses = {r.version: r.status for r in hub.registry.versions("demo")}
    assert statuses == {"1.0": "serving", "2.0": "rolled_back"}
    serial = hub.plans.current("demo").serial  # type: ignore[union-attr]
    hub.rush.tick(OVER + 1)
    assert hub.plans.current("demo").serial == serial  # type: ignore[union-attr]
    with pytest.raises(Conflict, match="went_back"):
        hub.rush.keep("demo", "2.0", actor="me", reason="too late")
    hub.plans.promote("demo", "2.0", actor="me", reason="I like it")  # a person decides
    hub.rush.tick(OVER + 2)
    assert serving(hub) == "2.0"


def test_what_wins_on_normal_data_stays(ready: Ready) -> None:  # noqa: F811
    hub = rushed(ready)
    holdout(hub, like_before=False)
    trained(hub)
    hub.rush.tick(OVER)
    (mark,) = hub.rush.status("demo", now=OVER).versions
    assert (serving(hub), mark.outcome) == ("2.0", "kept")
    assert "surely better on the holdout" in mark.reason


def test_without_normal_rows_nothing_stays_and_a_trial_ends_with_its_day(
    ready: Ready,  # noqa: F811
) -> None:
    hub = rushed(ready)
    run = trained(hub, promote=False)
    assert run.experiment is not None
    hub.rush.tick(time.time())
    assert hub.experiments.get(run.experiment).open
    hub.rush.tick(OVER)
    assert hub.experiments.get(run.experiment).status == "stopped"
    assert "the sale of" in hub.experiments.get(run.experiment).reason
    hub.runs.tick(OVER)
    hub.rush.tick(OVER)
    (mark,) = hub.rush.status("demo", now=OVER).versions
    assert (serving(hub), mark.outcome) == ("1.0", "unused")


def test_a_person_may_keep_it_and_a_hub_that_starts_anew_knows(ready: Ready) -> None:  # noqa: F811
    hub = rushed(ready)
    with pytest.raises(NotFound, match="was not trained on a rare day"):
        hub.rush.keep("demo", "1.0", actor="me", reason="")
    trained(hub)
    settings = hub.settings
    hub.close()
    again = open_hub(settings)
    try:
        again.rush.keep("demo", "2.0", actor="me", reason="the prices stay")
        again.rush.tick(OVER)
        assert serving(again) == "2.0"
        (mark,) = again.rush.status("demo", now=OVER).versions
        assert (mark.outcome, mark.reason) == ("kept", "kept by me: the prices stay")
    finally:
        again.close()


def test_a_run_that_waited_until_its_day_was_over_is_cancelled(ready: Ready) -> None:  # noqa: F811
    hub = rushed(ready, rows=0)
    hub.triggers.tick(time.time())
    hub.runs.tick(time.time())
    (run,) = hub.runs.records("demo")
    assert run.status == "waiting"
    hub.runs.tick(OVER)
    run = hub.runs.get(run.id)
    assert (run.status, run.reason) == ("cancelled", "the day is over, for which it was asked")
    assert hub.rush.status("demo", now=OVER).versions == ()


def test_rows_of_rare_days_are_for_runs_of_rare_days(ready: Ready) -> None:  # noqa: F811
    hub = rushed(ready)
    hub.runs.request("demo", RunCause("manual"))
    (run,) = hub.runs.records("demo")
    days = hub.runs._days
    now = time.time()
    assert len(days.rows(run, now) or ()) == 300
    assert days.rows(run, OVER) is None
    # Of the day all rows count, whatever asked for the run, and only while they are too few also
    # those of the last such day.
    assert len(days.rows(replace(run, since=now), now) or ()) == 300
    assert days.since(replace(run, since=now, until=now)) < now - 60
    next_one = (NOW + datetime.timedelta(days=40)).date().isoformat()
    dates = f'["{MONTH_AGO}", "{YESTERDAY}", "{next_one}"]'
    text = hub.registry.policy_text("demo")
    text = text.replace(f'["{MONTH_AGO}", "{YESTERDAY}"]', dates)
    hub.policies.apply("demo", text, actor="test", override="tests")
    later = now + 40 * DAY
    assert len(days.rows(replace(run, since=later), later) or ()) == 300
    text = text.replace(next_one, NOW.date().isoformat()).replace(YESTERDAY, TWO_WEEKS_AGO)
    hub.policies.apply("demo", text.replace("days: 3", "days: 1"), actor="test", override="tests")
    with hub.engine.begin() as db:  # 200 of the rows are of the last such day, 100 of this one
        chosen = select(samples.c.id).order_by(samples.c.id).limit(200)
        last = update(samples).where(samples.c.id.in_(chosen.scalar_subquery()))
        db.execute(last.values(taken=now - 14 * DAY))
    assert len(days.rows(run, now) or ()) == 300
    enough = hub.registry.policy_text("demo").replace("minimum_samples: 200", "minimum_samples: 99")
    hub.policies.apply("demo", enough, actor="test", override="tests")
    assert len(days.rows(run, now) or ()) == 100
