"""Each device's own past, as it was known when an experiment began."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

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
