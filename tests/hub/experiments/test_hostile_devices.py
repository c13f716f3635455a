"""One device that lies decides nothing: not whom the others get, not whether a candidate ends."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.experiments.verdict.device_weights import weighted
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.hub import Hub
from cloud_hub.statistics.influence import MULTIPLE
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import FeedbackReport, Message, UpdateEvent, Upload, WindowReport
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Cohort
from edge_sdk.contract.window import Window
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import Device, fleet

CANARY = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.3, 1.0), soak_seconds=0, minimum_outcomes=100
)
NUMBERS = itertools.count(1)
KINDS = {WindowReport: "window", FeedbackReport: "feedback", UpdateEvent: "event"}


@pytest.fixture
def tried(serving: Hub, tmp_path: Path) -> Hub:
    serving.registry.publish(make_release(tmp_path / "1.1", version="1.1", seed=3), actor="test")
    return serving


def claims(device: Device, *bodies: Any) -> list[str]:
    """Send what a device that runs other software could send; reasons of the refusals."""
    messages = tuple(
        Message("liar", next(NUMBERS), KINDS[type(body)], to_plain(body)) for body in bodies
    )
    reply = device.hub.telemetry.ingest(EnrolledDevice(device.name, ("demo",)), Upload(messages))
    return [rejection.reason for rejection in reply.rejected]


def on(device: Device, arm: str, seconds: int = 1) -> Window:
    """A window of the newest experiment, on any arm."""
    plan = device.hub.plans.current("demo")
    assert plan is not None
    assert plan.experiment is not None
    version = "1.0" if arm == CONTROL else "1.1"
    start = (int(time.time()) // seconds + 1) * seconds
    return Window("demo", version, start, start + seconds, plan.experiment.id, arm)


def started(hub: Hub, count: int, spec: ExperimentSpec = CANARY) -> list[Device]:
    devices = fleet(hub, count)
    hub.experiments.run(spec, actor="test")
    for device in devices:
        device.sync()
    return devices


def look(hub: Hub) -> tuple[str, str]:
    hub.experiments.tick(time.time())
    record = hub.experiments.get("demo-canary-1")
    return record.status, record.reason


def member(devices: list[Device], arm: str) -> Device:
    return next(device for device in devices if device.given.arm == arm)


def test_a_billion_labels_from_the_control_arm_do_not_promote_a_bad_candidate(tried: Hub) -> None:
    devices = started(tried, 20)
    liar = member(devices, CONTROL)
    for device in devices:
        if device is not liar:
            device.report(time.time(), 500, 0.6 if device.given.arm == "candidate" else 0.9)
    billion = 10**9
    reasons = claims(
        liar,
        WindowReport(on(liar, "candidate"), "0" * 64, {"model": billion}),
        FeedbackReport(on(liar, "candidate"), billion, billion, billion, billion),
    )
    assert len(reasons) == 2
    assert look(tried)[0] == "aborted"
    (flag,) = tried.flags.by_device()[liar.name, "demo"]
    assert flag.kind == "arm"


def test_labels_for_an_arm_that_the_device_is_not_on_are_refused_and_flagged(tried: Hub) -> None:
    liar = member(started(tried, 20), CONTROL)
    (reason,) = claims(liar, FeedbackReport(on(liar, "candidate"), 50, 50, 50, 50))
    assert reason == "arm: expected control (1.0), as the plans say, got candidate (1.1)"
    (flag,) = tried.flags.by_device()[liar.name, "demo"]
    assert (flag.kind, flag.count) == ("arm", 1)


def test_a_late_device_may_report_on_the_arm_of_an_older_plan(tried: Hub) -> None:
    devices = started(tried, 20)
    before = {device.name: on(device, device.given.arm) for device in devices}
    for device in devices:
        device.report(time.time(), 1_000, 0.95)
    tried.experiments.tick(time.time())  # it is promoted: everybody gets 1.1
    for device in devices:
        assert claims(device, FeedbackReport(before[device.name], 5, 5, 5, 5)) == []
    assert tried.flags.by_device("demo") == {}


def test_a_device_that_changes_its_attributes_gets_no_vote_in_a_cohort(tried: Hub) -> None:
    eu = Cohort("region", ("eu",))
    devices = fleet(tried, 20, ("eu", "us"))
    tried.experiments.run(replace(CANARY, stages=(), cohort=eu), actor="test")
    outside = replace(devices[1], attributes={"region": "eu"})
    outside.sync()  # it says that it has moved
    claims(outside, FeedbackReport(on(outside, outside.given.arm), 50, 0, 50, 0))
    tried.experiments.tick(time.time())
    figures = tried.experiments.get("demo-canary-1").figures
    assert sum(arm.labelled for arm in (figures.arms or {}).values()) == 0


def test_reports_from_before_the_device_enrolled_do_not_count(tried: Hub) -> None:
    devices = started(tried, 20)
    window = on(devices[0], devices[0].given.arm)
    old = replace(window, start=window.start - 90_000, end=window.end - 90_000)
    (reason,) = claims(devices[0], FeedbackReport(old, 5, 5, 5, 5))
    assert "not this device's yet when the window ended" in reason


def test_one_failure_event_takes_the_candidate_back_on_that_device_alone(tried: Hub) -> None:
    devices = started(tried, 20)
    member(devices, "candidate").fails()
    for device in devices:
        device.report(time.time(), 1_000, 0.95)
    assert look(tried)[0] == "promoted"


def test_failure_events_of_devices_on_the_control_arm_do_not_count(tried: Hub) -> None:
    devices = started(tried, 20)
    for device in [d for d in devices if d.given.arm == CONTROL]:
        event = UpdateEvent(
            "demo", "failed", "1.1", 1, reason="no", experiment=on(device, CONTROL).experiment
        )
        claims(device, event)
    for device in devices:
        device.report(time.time(), 1_000, 0.95)
    assert look(tried)[0] == "promoted"


def test_as_many_wrong_labels_as_pass_of_one_device_abort_no_good_canary(
    tried: Hub,
) -> None:
    devices = started(tried, 30)
    liar = member(devices, "candidate")
    for device in devices:
        if device is not liar:
            device.report(time.time(), 500, 0.9)
    # About as many as the bound lets pass in five minutes.
    window = on(liar, "candidate", 300)
    digest = tried.registry.release("demo", "1.1").profile_digest
    assert (
        claims(
            liar,
            WindowReport(window, digest, {"model": 350_000}),
            FeedbackReport(window, 350_000, 0, 350_000, 0),
        )
        == []
    )
    assert look(tried)[0] == "running"


def arm(rates: dict[str, tuple[float, float]]) -> ArmEvidence:
    """Labelled requests and the share of them that is right, by device."""
    rows = {name: (n, n * right, n * right) for name, (n, right) in rates.items()}
    failures = {(name, 0): (n - n * right, n) for name, (n, right) in rates.items()}
    return ArmEvidence(
        {"accuracy": rows}, {"wrong labels": failures, "errors": {}},
        exposed=frozenset(rates), predictions=int(sum(n for n, _ in rates.values())),
    )  # fmt: skip


def fifty(candidate: float, hostile: dict[str, tuple[float, float]], where: str) -> Evidence:
    control = {f"c{i}": (4_000.0, 0.9 + 0.001 * (i % 5)) for i in range(40)}
    tried = {f"t{i}": (4_000.0, candidate + 0.001 * (i % 5)) for i in range(9)}
    arms = {CONTROL: control, "candidate": tried}
    arms[where] = arms[where] | hostile
    return Evidence({name: arm(rates) for name, rates in arms.items()}, soaked=1e4)


SPEC = ExperimentSpec("m", "canary", candidate="1.1", soak_seconds=10, minimum_outcomes=100)
LIES: dict[str, tuple[float, tuple[float, float], str, set[str]]] = {
    "all right for a bad candidate": (0.7, (1e6, 1.0), "candidate", {"abort", "wait"}),
    "all wrong for the control of a bad one": (0.7, (1e6, 0.0), CONTROL, {"abort", "wait"}),
    "all wrong for a good candidate": (0.9, (1e6, 0.0), "candidate", {"wait", "pass"}),
    "all right for the control of a good one": (0.9, (1e6, 1.0), CONTROL, {"wait", "pass"}),
    "as much as the others, all wrong": (0.9, (4_000.0, 0.0), "candidate", {"wait", "pass"}),
}


@pytest.mark.parametrize("case", LIES)
def test_one_hostile_device_of_fifty_neither_promotes_nor_aborts(case: str) -> None:
    candidate, lie, where, allowed = LIES[case]
    evidence = fifty(candidate, {"liar": lie}, where)
    assert judge(SPEC, evidence, {}).action in allowed
    honest = {"abort" if candidate < 0.8 else "pass"}
    assert judge(SPEC, fifty(candidate, {}, where), {}).action in honest


def test_a_decision_that_rests_on_one_device_waits_and_names_it() -> None:
    tried = {f"t{i}": (400.0, 0.9) for i in range(3)} | {"liar": (400.0, 0.0)}
    control = {f"c{i}": (400.0, 0.9) for i in range(40)}
    evidence = Evidence({CONTROL: arm(control), "candidate": arm(tried)}, soaked=1e4)
    decision = judge(SPEC, evidence, {})
    assert decision.action == "wait"
    alone = judge(replace(SPEC, minimum_devices=1), evidence, {})
    if alone.action == "abort":
        assert "but not without liar: no single device decides" in decision.reason


@pytest.mark.parametrize("n", [1.0, 40_000.0, 40_001.0, 1e12])
def test_a_device_weighs_no_more_than_a_multiple_of_the_median_one(n: float) -> None:
    evidence = fifty(0.9, {"liar": (n, 0.5)}, "candidate")
    row = weighted(evidence).arms["candidate"].outcomes["accuracy"]["liar"]
    assert row[0] == min(n, MULTIPLE * 4_000)
    assert row[1] / row[0] == pytest.approx(0.5)
    failed, requests = weighted(evidence).arms["candidate"].failures["wrong labels"]["liar", 0]
    assert (requests, failed / requests) == (row[0], pytest.approx(0.5))
