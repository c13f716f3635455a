"""Each device's own past, as it was known when an experiment began."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks.statistics.fleets import Unlike, trials
from cloud_hub.cli.experiment_text import plan_text
from cloud_hub.experiments.verdict.evidence import Evidence
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.measures import ExposureSums
from cloud_hub.hub import Hub
from edge_sdk.contract.plan import Outcome
from tests.hub.enrolled import long_ago
from tests.hub.experiments.fleets import fleet
from tests.hub.experiments.test_experiments import CANARY, everybody, tried

__all__ = ["tried"]  # a fixture


def past_of(hub: Hub, id_: str) -> dict[str, ExposureSums]:
    loader, record, plan = hub.experiments.evidence, hub.experiments.get(id_), None
    plan = hub.plans.current("demo")
    assert plan is not None
    return dict(loader.load(loader.snapshot(record, plan, time.time())).past)


def test_the_past_is_what_served_before_and_stays_as_it_was_known(tried: Hub) -> None:
    devices = fleet(tried, 10)
    long_ago(tried)
    for device in devices[1:]:
        device.sync()
        device.report(time.time() - 86_400, 500, 0.9, errors=7)
    # Eight days are too long ago.
    devices[0].sync()
    devices[0].report(time.time() - 8 * 86_400, 500, 0.9)
    record = tried.experiments.run(CANARY, actor="test")
    # It has not heard of the experiment yet, and tells of yesterday.
    devices[1].report(time.time() - 86_400, 500, 0.1)
    everybody(devices, lambda _: 0.5)
    past = past_of(tried, record.id)
    sums = ExposureSums(predictions=500, errors=7, labelled=500, correct=450)
    assert past == {device.name: sums for device in devices[1:]}
    # What was before counts for nothing else.
    totals = tried.experiments.evidence.totals(record.id)
    assert {row.sums.predictions for row in totals} <= {1_000, 500}
    assert sum(row.sums.errors for row in totals) == 0


@pytest.mark.parametrize("metric", ["latency", "reward"])
def test_times_and_rewards_are_read_where_an_outcome_asks_for_them(tried: Hub, metric: str) -> None:
    devices = fleet(tried, 10)
    long_ago(tried)
    for device in devices:
        device.sync()
        device.report(time.time() - 3_600, 100, 0.9)
        device.rewarded(time.time() - 3_600, 10, 4)
    spec = replace(CANARY, outcomes=(Outcome("it", metric),))  # type: ignore[arg-type]
    past = past_of(tried, tried.experiments.run(spec, actor="test").id)
    assert len(past) == 10
    for sums in past.values():
        assert (sums.labelled, sums.correct, sums.predictions) == (100, 90, 100)
        assert (sums.rewards, sums.reward_sum, sums.latency_n) == (10, 4, 100)


SPEC = replace(CANARY, steps=(0.05, 1.0), outcomes=(Outcome("a", "accuracy", "up", 0.02),))


def look(fleet: Unlike, labels: int, effect: float = 0.0) -> Evidence:
    runs = trials(np.random.default_rng(3), fleet, 1, np.array([float(labels)]), effect)
    return runs.evidence(0, 0)


def test_a_healthy_canary_on_unlike_devices_passes_by_their_past() -> None:
    seen = look(Unlike(190, 10, 0.1, past=2_000), 2_000)
    assert judge(SPEC, seen, {}).action == "pass"
    blind = judge(SPEC, replace(seen, past={}), {})
    assert blind.action == "wait"
    assert "these devices differ too much for it" in blind.reason


def test_a_worse_canary_is_taken_back_by_their_past() -> None:
    seen = look(Unlike(95, 5, 0.1, past=500), 500, -0.2)
    assert judge(SPEC, seen, {}).action == "abort"


def test_one_against_one_is_no_verdict_and_says_why() -> None:
    alone = replace(SPEC, minimum_devices=1)
    for pair in (Unlike(1, 1, 0.1), Unlike(1, 1, 0.1, past=500)):
        decision = judge(alone, look(pair, 1_000, -0.3), {})
        assert decision.action == "wait"
        assert "no verdict: on 1 and 1 device(s)" in decision.reason


def test_the_plan_says_beforehand_which_steps_come_to_a_verdict(tried: Hub) -> None:
    devices = fleet(tried, 40)
    long_ago(tried)
    rates = np.random.default_rng(0).beta(16, 4, len(devices))
    for day in (2, 6):
        for device, rate in zip(devices, rates, strict=True):
            device.sync()
            device.report(time.time() - day * 86_400, 2_000, float(rate))
    spec = replace(CANARY, steps=(0.1, 0.5, 1.0))
    (row,) = tried.experiments.preparation.plan(spec, time.time()).outcomes
    assert row.left is not None
    assert row.left < row.correlation / 5
    first, second = row.steps
    assert (first.step, first.candidate, first.control) == ("10% of everybody", 4, 36)
    assert first.ever is not None
    assert second.ever is not None
    assert second.ever < first.ever
    shown = plan_text(asdict(tried.experiments.preparation.plan(spec, time.time())))
    assert "4 devices against 36: can find a difference of" in shown
