"""What is no evidence ends in a clear state: no verdict, no exception, no NaN in what is stored."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.experiments.documents import seen_document
from cloud_hub.experiments.verdict.decision import GateDecision
from cloud_hub.experiments.verdict.evidence import (
    OFF,
    ArmEvidence,
    Evidence,
    Row,
    Settling,
    ShadowEvidence,
)
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.spec import (
    ArmSpec,
    Design,
    ExperimentSpec,
    Guardrails,
    LatencyGuard,
)
from cloud_hub.hub import Hub
from cloud_hub.statistics.classical import welch
from cloud_hub.statistics.failures import judge_failures, log_device_evidence
from cloud_hub.statistics.heterogeneity import FailureCounts
from cloud_hub.statistics.sequential import SampleMoments
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.key_buckets import BUCKETS
from edge_sdk.contract.messages import FeedbackReport, Message, Upload
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Outcome
from tests.hub.experiments.fleets import NUMBERS, Device, fleet
from tests.hub.experiments.test_experiments import CANARY, everybody, tried

__all__ = ["tried"]  # a fixture

NUMBERS_OF = ("reward", "latency", "mae", "rmse", "energy")
"""Measures that have no range."""


def spec_of(strategy: Any, metric: Any, **more: Any) -> ExperimentSpec:
    up = metric in ("accuracy", "reward")
    tried: dict[str, Any] = {"candidate": "1.1"}
    if strategy == "ab":
        tried = {"arms": (ArmSpec("candidate", "1.1", 0.5),)}
    return ExperimentSpec(
        "m", strategy, soak_seconds=0, minimum_outcomes=10,
        outcomes=(Outcome("o", metric, "up" if up else "down", 0.02),),
        guardrails=Guardrails(latency=LatencyGuard(0.5, 1.5)), **tried, **more,
    )  # fmt: skip


def arm(metric: Any, rows: dict[str, Row], **more: Any) -> ArmEvidence:
    return ArmEvidence(
        outcomes={metric: rows},
        failures={"errors": {(device, 0): (0, 100) for device in rows}},
        latency={device: (100, *[0] * 63) for device in rows},
        exposed=frozenset(rows), predictions=100 * len(rows), **more,
    )  # fmt: skip


def devices(name: str, row: Row, first: Row | None = None) -> dict[str, Row]:
    """Five devices with the same row, the first with another one."""
    rows = {f"{name}{i}": row for i in range(5)}
    return rows if first is None else {**rows, f"{name}0": first}


def look(spec: ExperimentSpec, control: ArmEvidence, candidate: ArmEvidence) -> GateDecision:
    arms = {CONTROL: control, "candidate": candidate}
    return decided(spec, Evidence(arms, soaked=1e4, settling=Settling(0.0)))


def decided(spec: ExperimentSpec, evidence: Evidence) -> GateDecision:
    """The decision, whose figures must be JSON."""
    decision = judge(spec, evidence, {})
    json.dumps(seen_document(decision.figures), allow_nan=False)
    return decision


@pytest.mark.parametrize("metric", NUMBERS_OF)
@pytest.mark.parametrize(("strategy", "horizon"), [("canary", None), ("ab", 300)])
def test_numbers_that_are_all_alike_are_no_verdict(
    strategy: str, metric: str, horizon: int | None
) -> None:
    spec = spec_of(strategy, metric, design=Design(horizon=horizon))
    row = (100.0, 90.0, 81.0)
    for name in ("b", "a"):  # on devices of their own, and on the same ones
        found = look(spec, arm(metric, devices("a", row)), arm(metric, devices(name, row)))
        assert (found.action, "no verdict: all outcomes are alike" in found.reason) == (
            "wait",
            True,
        )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("metric", NUMBERS_OF)
def test_sums_that_are_no_numbers_are_no_verdict(metric: str, value: float) -> None:
    bad = devices("a", (100.0, 90.0, 95.0), first=(100.0, value, abs(value)))
    good = devices("b", (100.0, 90.0, 95.0))
    for rows in ((bad, good), (good, bad)):
        control, candidate = (arm(metric, each) for each in rows)
        found = look(spec_of("canary", metric), control, candidate)
        assert found.action == "wait"
        assert "no verdict: some outcomes are no numbers" in found.reason


@pytest.mark.parametrize("metric", ["accuracy", "errors", *NUMBERS_OF])
@pytest.mark.parametrize("strategy", ["canary", "ab"])
def test_an_arm_without_control_waits_for_it(strategy: str, metric: str) -> None:
    alone = arm(metric, devices("b", (100.0, 60.0, 60.0)))
    spec = spec_of(strategy, metric)
    for arms in ({"candidate": alone}, {"candidate": alone, CONTROL: ArmEvidence()}):
        found = decided(spec, Evidence(arms, soaked=1e4, settling=Settling(0.0)))
        assert (found.action, found.reason) == ("wait", "control: 0 of 10 outcomes of o")


@pytest.mark.parametrize("metric", ["accuracy", "errors", *NUMBERS_OF])
@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_billion_outcomes_of_one_device_are_no_verdict(metric: str, right: float) -> None:
    row = (100.0, 50.0, 50.0)
    weighs = devices("b", row, first=(1e9, right * 1e9, right * 1e9))
    control = arm(metric, devices("a", row))
    assert look(spec_of("canary", metric), control, arm(metric, weighs)).action == "wait"


@pytest.mark.parametrize("kind", ["errors", "wrong labels", OFF, "groups"])
def test_where_all_fail_on_both_arms_no_guardrail_trips(kind: str) -> None:
    def failing(name: str) -> ArmEvidence:
        counts = {(f"{name}{i}", 0): (1_000, 1_000) for i in range(5)}
        more = {"groups": {"sex=f": counts}} if kind == "groups" else {"failures": {kind: counts}}
        return replace(
            arm("reward", devices(name, (1_000.0, 500.0, 500.0))), largest_error=10.0, **more
        )

    found = look(spec_of("canary", "reward"), failing("a"), failing("b"))
    assert not any(guard.trips for guard in found.figures.guardrails or ())


def test_devices_that_all_fail_are_no_worse_than_each_other() -> None:
    for share in (0.98, 0.99, 1.0):
        every = (share * 1_000, 1_000)
        mine, theirs = ({(f"{arm}{i}", 0): every for i in range(5)} for arm in "ab")
        assert judge_failures(FailureCounts.of(mine, theirs)).log_e < math.log(20)
        alone = log_device_evidence(round(every[0]), 1_000, (round(5 * every[0]), 5_000))
        assert alone < math.log(20)


@pytest.mark.parametrize("metric", ["latency", "mae"])
def test_pairs_that_are_alike_or_no_numbers_are_no_verdict(metric: str) -> None:
    spec = spec_of("shadow", metric)
    said = {}
    for name, first in (("alike", (100.0, 50.0, 25.0)), ("nan", (100.0, math.nan, math.nan))):
        rows = devices("a", (100.0, 50.0, 25.0), first=first)
        errors = dict.fromkeys(rows, (100.0, 0.0, 0.0))
        pairs = ShadowEvidence(
            disagreements=errors, errors=errors, latency=rows, off=rows, value=rows
        )
        found = decided(spec, Evidence(shadow=pairs, soaked=1e4))
        assert found.action == "wait"
        said[name] = found.reason
    assert said["alike"] == "o: no verdict: all outcomes are alike"


def of_keys(metric: str, table: np.ndarray) -> ArmEvidence:
    asked = np.stack([table[:, 0], 0 * table[:, 0], 0 * table[:, 0]], axis=1)
    row: Any = tuple(table.sum(axis=0).tolist())
    counts = {("d", 0): (0.0, row[0])}
    return replace(
        arm(metric, {"d": row}),
        failures={"errors": counts, "wrong labels": counts},
        key_outcomes={metric: {"d": table}},  # type: ignore[dict-item]
        key_failures={"errors": {"d": asked}, "wrong labels": {"d": asked}},
    )


@pytest.mark.parametrize("horizon", [None, 300])
def test_rewards_of_keys_that_are_alike_or_no_numbers_are_no_verdict(horizon: int | None) -> None:
    spec = spec_of("ab", "reward", unit="key", minimum_devices=1, design=Design(horizon=horizon))
    alike = np.tile((10.0, 5.0, 2.5), (BUCKETS, 1))
    nan = np.tile((10.0, 5.0, 4.0), (BUCKETS, 1))
    nan[0, 1:] = math.nan
    for mine, why in ((alike, "all outcomes are alike"), (nan, "some outcomes are no numbers")):
        found = look(spec, of_keys("reward", alike), of_keys("reward", mine))
        assert (found.action, f"no verdict: {why}" in found.reason) == ("wait", True)


def test_a_key_with_a_billion_requests_is_no_verdict() -> None:
    spec = spec_of("ab", "accuracy", unit="key", minimum_devices=1)
    table = np.tile((10.0, 5.0, 5.0), (BUCKETS, 1))
    weighs = table.copy()
    weighs[3] = 1e9
    assert look(spec, of_keys("accuracy", table), of_keys("accuracy", weighs)).action == "wait"


def test_a_comparison_for_people_holds_for_very_small_numbers() -> None:
    small = [SampleMoments(10, 1e-90 * each, 1e-180 * each) for each in (1, 2)]
    assert math.isfinite(welch(*small, at_the_end=False).p)


def evidence_of(hub: Hub, id_: str) -> Evidence:
    loader, plan = hub.experiments.evidence, hub.plans.current("demo")
    assert plan is not None
    return loader.load(loader.snapshot(hub.experiments.get(id_), plan, time.time()))


def test_a_device_that_hears_late_of_its_candidate_counts_on_that_arm_only(tried: Hub) -> None:
    units = fleet(tried, 20)
    id_ = tried.experiments.run(CANARY, actor="test").id
    everybody(units, lambda _: 0.95)
    tried.experiments.tick(time.time())
    assert tried.experiments.get(id_).step == 1
    # All go on as before the step until they sync: some report the control in it once more.
    before = {device.name: device.given.arm for device in units}
    for device in units:
        device.report(time.time(), 50, 0.95)
    everybody(units, lambda _: 0.95)
    moved = {device.name for device in units if device.given.arm != before[device.name]}
    assert moved
    found = evidence_of(tried, id_)
    control, candidate = found.arms[CONTROL], found.arms["candidate"]
    assert moved <= candidate.exposed
    for mine, theirs in (
        (candidate.outcomes["accuracy"], control.outcomes["accuracy"]),
        (candidate.labels["so far"], control.labels["so far"]),
    ):
        assert mine
        assert theirs
        assert not mine.keys() & theirs.keys()
    assert not candidate.exposed & control.exposed


def sent(device: Device, body: FeedbackReport, number: int, **change: Any) -> list[str]:
    """Reasons of refusals of one upload of one message."""
    plain = {**to_plain(body), **change}
    reply = device.hub.telemetry.ingest(
        EnrolledDevice(device.name, ("demo",)),
        Upload((Message("boot", number, "feedback", plain),)),
    )
    return [each.reason for each in reply.rejected]


def test_a_report_that_comes_twice_counts_once(tried: Hub) -> None:
    units = fleet(tried, 10)
    id_ = tried.experiments.run(CANARY, actor="test").id
    everybody(units, lambda _: 0.9, n=100)
    before = evidence_of(tried, id_)
    number = next(NUMBERS)
    body = FeedbackReport(units[0].window(time.time()), 50, 0, 50, 0)
    for _ in range(3):
        assert sent(units[0], body, number) == []
    place = units[0].given.arm
    more = {
        name: sum(row[0] for row in evidence_of(tried, id_).arms[name].labels["so far"].values())
        - sum(row[0] for row in before.arms[name].labels["so far"].values())
        for name in before.arms
    }
    wrong = evidence_of(tried, id_).arms[place].failures_by_device("wrong labels")[units[0].name]
    assert wrong == (60, 150)
    assert all(each <= 50 for each in more.values())


@pytest.mark.parametrize("jump", [-400 * 86_400, 3_600, 30 * 86_400])
def test_windows_of_a_clock_that_jumped_are_refused(tried: Hub, jump: int) -> None:
    units = fleet(tried, 10)
    id_ = tried.experiments.run(CANARY, actor="test").id
    everybody(units, lambda _: 0.9, n=100)
    before = evidence_of(tried, id_).arms
    window = units[0].window(time.time() + jump)
    (reason,) = sent(units[0], FeedbackReport(window, 50, 0, 50, 0), next(NUMBERS))
    assert "clock" in reason
    assert evidence_of(tried, id_).arms == before


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e200])
def test_rewards_that_are_no_numbers_are_refused(tried: Hub, value: float) -> None:
    units = fleet(tried, 10)
    tried.experiments.run(CANARY, actor="test")
    everybody(units, lambda _: 0.9, n=100)
    body = FeedbackReport(units[0].window(time.time()), 0, 0, 0, 0, rewards=1)
    column = [0.0] * (BUCKETS - 1)
    many = {"rewards": [0] * (BUCKETS - 1) + [1], "reward_sum": [*column, value]}
    for change in (
        {"reward_sum": value, "reward_squares": abs(value)},
        {"buckets": {**many, "reward_squares": [*column, abs(value)]}},
        {"rewards": 0, "measured": 1, "error_sum": value, "error_squares": abs(value)},
    ):
        assert len(sent(units[0], body, next(NUMBERS), **change)) == 1
