"""Experiments of which nothing is new: no look is taken, and one would have found nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.experiments.verdict.evidence import Evidence, Settling
from cloud_hub.experiments.verdict.moves import move_of
from cloud_hub.experiments.verdict.next_look import LONGEST, next_look
from cloud_hub.experiments.verdict.spec import ExperimentSpec, LabelRules
from cloud_hub.hub import Hub
from edge_sdk.contract.plan import Outcome
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import Device, fleet

HOUR = 3_600
SOAKS = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=20 * HOUR,
    no_data_seconds=10 * HOUR, minimum_outcomes=100,
)  # fmt: skip


@pytest.fixture
def tried(serving: Hub, tmp_path: Path) -> Hub:
    """A hub that serves 1.0 and knows 1.1."""
    release = make_release(tmp_path / "1.1", version="1.1", seed=3)
    serving.registry.publish(release, actor="test")
    return serving


@pytest.fixture
def looks(tried: Hub, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments at which the hub's loop looked at an experiment."""
    taken: list[float] = []
    real = tried.experiments.look

    def look(record: Any, now: float) -> Any:
        taken.append(now)
        return real(record, now)

    monkeypatch.setattr(tried.experiments, "look", look)
    return taken


def begun(hub: Hub, count: int = 8, spec: ExperimentSpec = SOAKS) -> tuple[str, list[Device]]:
    """An experiment that was looked at with the reports of all its devices."""
    devices = fleet(hub, count)
    id_ = hub.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
        device.report(time.time(), 1_000, 0.95)
    return id_, devices


def test_without_news_nothing_is_looked_at_until_the_longest_wait(
    tried: Hub, looks: list[float]
) -> None:
    begun(tried)
    now = time.time() + 1
    for later in (0, 1, 60, LONGEST - 1, LONGEST):
        tried.experiments.tick(now + later)
    assert looks == [now, now + LONGEST]


NEWS: dict[str, Callable[[Hub, str, list[Device]], object]] = {
    "a report": lambda hub, id_, devices: devices[0].report(time.time(), 10, 0.9),
    "a failed activation": lambda hub, id_, devices: next(
        device for device in devices if device.given.arm == "candidate"
    ).fails(),
    "a device with other attributes": lambda hub, id_, devices: replace(
        devices[0], attributes={"region": "mars"}
    ).sync(),
    "a device that is forgotten": lambda hub, id_, devices: hub.fleet.forget(
        devices[0].name, reason="test", actor="test"
    ),
    "a pause": lambda hub, id_, devices: hub.experiments.pause(id_, actor="me", reason="test"),
    "a plan": lambda hub, id_, devices: hub.plans.change(
        "demo", lambda plan: replace(plan), actor="me", reason="test"
    ),
}


@pytest.mark.parametrize("news", NEWS)
def test_news_is_looked_at_in_the_next_tick(tried: Hub, looks: list[float], news: str) -> None:
    id_, devices = begun(tried)
    now = time.time() + 1
    tried.experiments.tick(now)
    NEWS[news](tried, id_, devices)
    tried.experiments.tick(now + 1)
    tried.experiments.tick(now + 2)
    assert looks == [now, now + 1]


def test_a_check_in_that_says_the_same_is_no_news(tried: Hub, looks: list[float]) -> None:
    _, devices = begun(tried)
    now = time.time() + 1
    tried.experiments.tick(now)
    devices[0].sync()
    tried.experiments.tick(now + 1)
    assert looks == [now]


def test_a_device_that_follows_a_newer_plan_is_news(tried: Hub, looks: list[float]) -> None:
    _, devices = begun(tried)
    tried.plans.change("demo", lambda plan: replace(plan), actor="me", reason="test")
    now = time.time() + 1
    tried.experiments.tick(now)
    devices[0].sync()
    tried.experiments.tick(now + 1)
    assert looks == [now, now + 1]


def test_a_look_that_fails_is_taken_again(tried: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tried)
    now = time.time() + 1

    def broken(*_: object) -> object:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(tried.experiments.evidence, "load", broken)
        with pytest.raises(ExceptionGroup, match="the disk is gone"):
            tried.experiments.tick(now)
    tried.experiments.tick(now + 1)
    assert tried.experiments.records()[0].figures.arms["control"].devices > 0


def test_a_step_passes_in_the_tick_in_which_it_has_soaked(tried: Hub) -> None:
    soaks = replace(SOAKS, soak_seconds=100)
    id_, _ = begun(tried, 20, soaks)
    began = tried.experiments.get(id_).step_started_at
    for later in (50, 99, 101):
        tried.experiments.tick(began + later)
        record = tried.experiments.get(id_)
        assert (record.status == "promoted") == (later == 101), record.reason


@pytest.mark.parametrize(
    ("changed", "soaked", "silent", "until"),
    [
        ({}, 0.0, 0.0, LONGEST),
        ({"soak_seconds": 90}, 40.0, 0.0, 50.0),
        ({"soak_seconds": 90, "no_data_seconds": 60}, 40.0, 0.0, 20.0),
        ({"soak_seconds": 90, "no_data_seconds": 60}, 95.0, 50.0, 10.0),
        ({"soak_seconds": 90, "no_data_seconds": 60}, 95.0, 70.0, LONGEST),
    ],
)
def test_the_next_look_is_when_time_alone_may_decide(
    changed: dict[str, Any], soaked: float, silent: float, until: float
) -> None:
    evidence = Evidence(soaked=soaked, silent=silent)
    assert next_look(replace(SOAKS, **changed), evidence, 1e9) == 1e9 + until


@pytest.mark.parametrize("stated", [None, 70.0])
def test_while_labels_are_waited_for_the_next_look_is_when_a_window_may_settle(
    stated: float | None,
) -> None:
    spec = replace(SOAKS, labels=LabelRules(settle_seconds=stated))
    hour = 1_000 * HOUR
    settles = 2_700 if stated is None else 70
    evidence = Evidence(settling=Settling(settles))
    just_before = hour + settles - 30
    assert next_look(spec, evidence, just_before) == just_before + 30


@pytest.mark.parametrize("seed", range(4))
def test_a_look_that_was_left_out_would_have_changed_nothing(
    tried: Hub, looks: list[float], seed: int
) -> None:
    """Random histories: whenever no look was taken, one from scratch decides to do nothing."""
    random = np.random.default_rng(seed)
    outcomes = (Outcome("right", "accuracy", "up", 0.02),)
    spec = replace(
        SOAKS, soak_seconds=HOUR, no_data_seconds=3 * HOUR, outcomes=outcomes,
        labels=LabelRules(settle_seconds=[None, 50.0, 5_000.0][seed % 3]),
    )  # fmt: skip
    id_, devices = begun(tried, 10, spec)
    now, left_out = time.time() + 1, 0
    for _ in range(20):
        now += float(random.choice([1, 20, 100, 290, 2_000]))
        what = random.integers(8)
        device = devices[int(random.integers(len(devices)))]
        if what == 0:
            device.report(time.time(), int(random.integers(1, 200)), float(random.uniform(0.8, 1)))
        elif what == 1:
            device.sync()
        elif what == 2 and len(devices) > 6:
            devices.remove(device)
            tried.fleet.forget(device.name, reason="test", actor="test")
        tried.experiments.tick(now)
        record = tried.experiments.get(id_)
        if not record.open:
            break
        if looks[-1] == now:
            continue
        left_out += 1
        seen = type(tried.experiments).look(tried.experiments, record, now)
        assert seen is not None
        decision = seen[2]
        assert move_of(record.status, decision) == "note"
        # Nothing but the time that has passed differs from what was written down.
        then = replace(
            record.figures, soaked=decision.figures.soaked, silent=decision.figures.silent
        )
        assert decision.figures == then
    assert 0 < left_out < 20
