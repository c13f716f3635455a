"""Experiments from start to end: real plans, real messages, the hub's own loop called by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.experiments.verdict.spec import (
    ArmSpec,
    ExperimentSpec,
    Guardrails,
    StageSpec,
)
from cloud_hub.hub import Hub
from edge_sdk.contract.plan import Cohort, Outcome
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import Device, fleet

CANARY = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.3, 0.6, 1.0), soak_seconds=0, minimum_outcomes=100
)


@pytest.fixture
def tried(serving: Hub, tmp_path: Path) -> Hub:
    """A hub that serves 1.0 and knows 1.1 and 1.2."""
    for version in ("1.1", "1.2"):
        release = make_release(tmp_path / version, version=version, seed=3)
        serving.registry.publish(release, actor="test")
    return serving


def everybody(devices: list[Device], right: Callable[[Device], float], n: int = 1_000) -> None:
    """All sync and report."""
    now = time.time()
    for device in devices:
        device.sync()
        device.report(now, n, right(device))


def status(hub: Hub, id_: str) -> tuple[str, int, int]:
    hub.experiments.tick(time.time())
    record = hub.experiments.get(id_)
    return record.status, record.stage, record.step


def fails(devices: list[Device], arm: str) -> None:
    """An arm's candidate can be activated on none of its devices."""
    for device in [d for d in devices if d.given.arm == arm]:
        device.fails()


def actions(hub: Hub) -> list[str]:
    return [e.action for e in hub.audit.entries("demo") if " " in e.action]


def test_a_good_canary_goes_step_by_step_and_is_promoted(tried: Hub) -> None:
    devices = fleet(tried, 20)
    id_ = tried.experiments.run(CANARY, actor="test").id
    assert status(tried, id_) == ("running", 0, 0)
    everybody(devices, lambda d: 0.95)
    inside = {d.name for d in devices if d.given.arm == "candidate"}
    assert status(tried, id_) == ("running", 0, 1)
    everybody(devices, lambda d: 0.95)
    wider = {d.name for d in devices if d.given.arm == "candidate"}
    assert 0 < len(inside) < len(wider) < 20
    assert inside < wider
    assert status(tried, id_)[0] == "promoted"
    plan = tried.plans.current("demo")
    assert plan is not None
    assert (plan.serving.version, plan.experiment) == ("1.1", None)
    assert [a for a in actions(tried) if a.startswith("canary")] == [
        "canary started", "canary passed", "canary promoted",
    ]  # fmt: skip
    passed = next(e for e in tried.audit.entries("demo") if e.action == "canary passed")
    assert passed.detail["figures"]["outcomes"][0]["low"] > -0.02
    counted = passed.detail["figures"]["devices"]["candidate"]
    assert counted["healthy"] == counted["exposed"] == len(inside)


def test_a_bad_canary_is_taken_back_and_not_offered_again(tried: Hub) -> None:
    devices = fleet(tried, 20)
    id_ = tried.experiments.run(CANARY, actor="test").id
    everybody(devices, lambda d: 0.95)
    everybody(devices, lambda d: 0.5 if d.given.arm == "candidate" else 0.95)
    assert status(tried, id_)[0] == "aborted"
    reason = tried.experiments.get(id_).reason  # whichever of the two is sure first
    assert "more wrong labels" in reason or "worse than may be" in reason
    plan = tried.plans.current("demo")
    assert plan is not None
    assert (plan.serving.version, plan.experiment) == ("1.0", None)
    assert tried.registry.version("demo", "1.1").status == "rolled_back"
    with pytest.raises(Conflict, match=r"1\.1: is rolled_back"):
        tried.experiments.run(CANARY, actor="test")


def test_cohorts_come_in_order_and_a_bad_region_stops_it_there(tried: Hub) -> None:
    devices = fleet(tried, 60, ("eu", "us", "asia"))
    eu, us = Cohort("region", ("eu",)), Cohort("region", ("us",))
    spec = replace(CANARY, steps=(0.5, 1.0), stages=(StageSpec(eu), StageSpec(us), StageSpec()))
    id_ = tried.experiments.run(spec, actor="test").id

    def right(device: Device) -> float:
        bad = device.given.release.version == "1.1" and device.attributes["region"] == "us"
        return 0.4 if bad else 0.95

    everybody(devices, right)
    assert {d.attributes["region"] for d in devices if d.given.arm != "control"} == {"eu"}
    assert status(tried, id_) == ("running", 1, 0)
    everybody(devices, right)
    exposed = {d.attributes["region"] for d in devices if d.given.arm != "control"}
    assert exposed == {"eu", "us"}
    assert status(tried, id_)[0] == "aborted"
    record = tried.experiments.get(id_)
    assert (record.stage, record.figures.allocation[0].cohort) == (1, "region=us")


def test_no_data_pauses_and_resuming_gives_it_another_chance(tried: Hub) -> None:
    devices = fleet(tried, 20)
    id_ = tried.experiments.run(replace(CANARY, no_data_seconds=60), actor="test").id
    tried.experiments.tick(time.time() + 61)
    record = tried.experiments.get(id_)
    assert (record.status, "paused, not passed" in record.reason) == ("paused", True)
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.experiment is not None
    assert plan.experiment.paused
    everybody(devices, lambda d: 0.95)
    assert {d.given.arm for d in devices} == {"control"}
    tried.experiments.resume(id_, actor="test", reason="the fleet was down")
    assert status(tried, id_)[0] == "running"


def test_resuming_acknowledges_failures_and_only_new_ones_trip_again(tried: Hub) -> None:
    devices = fleet(tried, 20)
    spec = replace(CANARY, guardrails=Guardrails(then="pause"))
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
    inside = [d for d in devices if d.given.arm == "candidate"]
    inside[0].fails()
    assert status(tried, id_)[0] == "running"  # taken back there; one device decides nothing
    for device in inside[1:3]:
        device.fails()
    assert status(tried, id_)[0] == "paused"
    assert status(tried, id_)[0] == "paused"
    tried.experiments.resume(id_, actor="test", reason="a full disk, known")
    assert status(tried, id_)[0] == "running"
    counts = tried.experiments.get(id_).figures.devices["candidate"]
    assert counts["failed"] == 3
    for device in inside[3:6]:
        device.fails()
    assert status(tried, id_)[0] == "paused"
    assert "failed on 3 of 3 devices" in tried.experiments.get(id_).reason


def test_approval_keeps_a_canary_where_it_is_until_a_person_promotes(tried: Hub) -> None:
    devices = fleet(tried, 20)
    spec = replace(CANARY, steps=(0.3, 1.0), approval=True)
    id_ = tried.experiments.run(spec, actor="test").id
    everybody(devices, lambda d: 0.95)
    assert status(tried, id_)[0] == "waiting"
    assert "experiments promote" in tried.experiments.get(id_).reason
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.experiment is not None
    tried.experiments.promote(id_, actor="ann", reason="looks good")
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.serving.version == "1.1"
    assert tried.experiments.get(id_).status == "promoted"
    entry = tried.audit.entries("demo")[-1]
    assert (entry.actor, entry.action) == ("ann", "canary promoted")


def test_guardrails_watch_also_while_it_waits_for_approval(tried: Hub) -> None:
    devices = fleet(tried, 20)
    id_ = tried.experiments.run(replace(CANARY, steps=(0.3, 1.0), approval=True), actor="test").id
    everybody(devices, lambda d: 0.95)
    assert status(tried, id_)[0] == "waiting"
    fails(devices, "candidate")
    assert status(tried, id_)[0] == "aborted"


def test_an_ab_test_promotes_the_winner(tried: Hub) -> None:
    devices = fleet(tried, 40)
    spec = ExperimentSpec(
        "demo", "ab", arms=(ArmSpec("one", "1.1", 0.3), ArmSpec("two", "1.2", 0.3)),
        soak_seconds=0, outcomes=(Outcome("accuracy", "accuracy"),),
    )  # fmt: skip
    id_ = tried.experiments.run(spec, actor="test").id
    right = {"control": 0.8, "one": 0.8, "two": 0.95}
    everybody(devices, lambda d: right[d.given.arm])
    assert {d.given.arm for d in devices} == {"control", "one", "two"}
    assert status(tried, id_)[0] == "promoted"
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.serving.version == "1.2"
    assert "two is better" in tried.experiments.get(id_).reason


ABN = ExperimentSpec(
    "demo", "ab", arms=(ArmSpec("one", "1.1", 0.3), ArmSpec("two", "1.2", 0.3)),
    soak_seconds=0, outcomes=(Outcome("accuracy", "accuracy"),),
)  # fmt: skip


def arms_of(devices: list[Device]) -> dict[str, tuple[str, str | None, str]]:
    """By device: its arm, of which experiment, and what serves there."""
    return {d.name: (d.given.arm, d.given.experiment, d.given.release.version) for d in devices}


def test_an_arm_that_fails_is_dropped_and_the_others_go_on_to_a_winner(tried: Hub) -> None:
    devices = fleet(tried, 40)
    id_ = tried.experiments.run(ABN, actor="test").id
    for device in devices:
        device.sync()
    before = arms_of(devices)
    fails(devices, "one")
    everybody(devices, lambda d: 0.8, n=40)
    assert status(tried, id_)[0] == "running"
    record = tried.experiments.get(id_)
    assert record.reason.startswith("one dropped: one failed on ")
    assert [arm.name for arm in record.running] == ["two"]
    assert tried.registry.version("demo", "1.1").status == "rolled_back"
    assert tried.registry.version("demo", "1.2").status == "published"

    for device in devices:
        device.sync()
    after = arms_of(devices)
    for name, (arm, *rest) in before.items():
        assert after[name] == (("control", None, "1.0") if arm == "one" else (arm, *rest))
    right = {"control": 0.8, "two": 0.95}
    everybody(devices, lambda d: right[d.given.arm])
    assert status(tried, id_)[0] == "promoted"
    plan = tried.plans.current("demo")
    assert plan is not None
    assert (plan.serving.version, plan.experiment) == ("1.2", None)

    report = tried.experiments.report(id_)
    assert [e.event for e in report.timeline] == ["started", "dropped", "promoted"]
    gone = {arm.arm: arm.dropped for arm in report.arms}
    assert gone["two"] is None
    assert [g.name for g in gone["one"].guardrails] == ["failed devices"]
    assert gone["one"].devices["failed"] >= 3
    entry = next(e for e in tried.audit.entries("demo") if e.action == "ab dropped")
    assert entry.detail["figures"]["dropped"]["one"]["guardrails"][0]["figures"]["count"] >= 3


def test_decisions_are_logged(tried: Hub, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="cloud_hub.experiments"):
        id_ = tried.experiments.run(CANARY, actor="ann").id
        tried.experiments.stop(id_, actor="bob", reason="enough")
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith(f"experiment {id_} started by ann: ")
    assert messages[1] == f"experiment {id_} stopped by bob: enough"


def test_the_last_arm_that_fails_ends_it(tried: Hub) -> None:
    devices = fleet(tried, 40)
    id_ = tried.experiments.run(ABN, actor="test").id
    for device in devices:
        device.sync()
    for arm, then in (("one", "running"), ("two", "aborted")):
        fails(devices, arm)
        assert status(tried, id_)[0] == then
    statuses = {v.version: v.status for v in tried.registry.versions("demo")}
    assert statuses == {"1.0": "serving", "1.1": "rolled_back", "1.2": "rolled_back"}
    assert "two failed on " in tried.experiments.get(id_).reason


def test_dropping_an_arm_is_no_sample_ratio_mismatch(tried: Hub) -> None:
    devices = fleet(tried, 240)
    id_ = tried.experiments.run(ABN, actor="test").id
    everybody(devices, lambda d: 0.8, n=20)
    counted = tried.experiments
    status(tried, id_)
    (before,) = counted.get(id_).figures.allocation
    tried.experiments.drop(id_, "one", actor="ann", reason="too dear")
    everybody([d for i, d in enumerate(devices) if i % 3], lambda d: 0.8, n=20)
    assert status(tried, id_)[0] == "running"
    (after,) = counted.get(id_).figures.allocation
    assert after.expected == pytest.approx({"two": 0.3 / 0.7, "control": 0.4 / 0.7})
    assert {arm: before.counts[arm] for arm in after.counts} == after.counts
    assert after.p > 0.01


def test_a_winner_that_waits_and_then_fails_has_not_won(tried: Hub) -> None:
    devices = fleet(tried, 40)
    id_ = tried.experiments.run(replace(ABN, approval=True), actor="test").id
    right = {"control": 0.8, "one": 0.95, "two": 0.8}
    everybody(devices, lambda d: right[d.given.arm])
    assert status(tried, id_)[0] == "waiting"
    fails(devices, "one")
    assert status(tried, id_)[0] == "running"
    assert tried.experiments.get(id_).state.winner is None
    with pytest.raises(Conflict, match=r"an arm of \['two'\]; one was dropped \(one failed on "):
        tried.experiments.promote(id_, actor="ann", reason="still", arm="one")
    assert tried.experiments.promote(id_, actor="ann", reason="then two").state.winner == "two"


def test_a_person_may_look_first_drop_the_arm_and_let_the_others_go_on(tried: Hub) -> None:
    devices = fleet(tried, 40)
    spec = replace(ABN, guardrails=Guardrails(then="pause"))
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
    fails(devices, "one")
    assert status(tried, id_)[0] == "paused"
    dropped = tried.experiments.drop(id_, "one", actor="ann", reason="it is broken")
    assert (dropped.status, dropped.dropped["one"].actor) == ("paused", "ann")
    with pytest.raises(Conflict, match="two is its only arm; edge-hub experiments stop"):
        tried.experiments.drop(id_, "two", actor="ann", reason="this too")
    with pytest.raises(Conflict, match=r"an arm of \['two'\]; one was dropped \(it is broken\)"):
        tried.experiments.drop(id_, "one", actor="ann", reason="again")
    tried.experiments.resume(id_, actor="ann", reason="without it")
    everybody(devices, lambda d: 0.95 if d.given.arm == "two" else 0.8)
    assert status(tried, id_)[0] == "promoted"
    assert tried.registry.version("demo", "1.1").status == "published"  # nobody proved it bad


def test_an_ab_test_by_key_compares_within_each_device(tried: Hub) -> None:
    devices = fleet(tried, 12)
    spec = ExperimentSpec(
        "demo", "ab", arms=(ArmSpec("one", "1.1", 0.5),), unit="key", soak_seconds=0,
        outcomes=(Outcome("accuracy", "accuracy"),),
    )  # fmt: skip
    id_ = tried.experiments.run(spec, actor="test").id
    for i, device in enumerate(devices):  # devices differ more than the arms do
        device.sync()
        own = 0.4 + 0.04 * i
        arms = {"control": ("1.0", own), "one": ("1.1", own + 0.08)}
        device.report_keys(time.time(), arms, units=60)
    assert status(tried, id_)[0] == "promoted"
    figures = tried.experiments.get(id_).figures
    assert figures.outcomes[0].devices == (12, 12)
    assert figures.devices["one"]["healthy"] == 12
    assert figures.allocation[0].counts == {"control": 720, "one": 720}


BY_KEY = ExperimentSpec(
    "demo", "ab", arms=(ArmSpec("one", "1.1", 0.5),), unit="key", soak_seconds=0,
    outcomes=(Outcome("accuracy", "accuracy"),),
)  # fmt: skip


def test_devices_that_report_no_buckets_of_keys_count_for_nothing(tried: Hub) -> None:
    devices = fleet(tried, 6)
    id_ = tried.experiments.run(BY_KEY, actor="test").id
    arms = {"control": ("1.0", 0.5), "one": ("1.1", 0.9)}
    for device in devices:
        device.sync()
        device.report_keys(time.time(), arms, units=60, buckets=False)
    assert status(tried, id_)[0] == "running"
    reason = tried.experiments.get(id_).reason
    assert "6 device(s) have software that reports no buckets of keys" in reason
    figures = tried.experiments.get(id_).figures
    assert figures.arms["one"].without_buckets == 6
    assert figures.outcomes[0].p == 1.0
    for device in devices:
        device.report_keys(time.time(), arms, units=60)
    assert status(tried, id_)[0] == "promoted"


def test_few_keys_give_no_verdict_however_often_they_ask(tried: Hub) -> None:
    devices = fleet(tried, 6)
    id_ = tried.experiments.run(BY_KEY, actor="test").id
    for device in devices:
        device.sync()
        for _ in range(5):
            device.report_keys(time.time(), {"control": ("1.0", 0.5), "one": ("1.1", 0.9)}, units=9)
    assert status(tried, id_)[0] == "running"
    reason = tried.experiments.get(id_).reason
    assert "no verdict: control has outcomes of accuracy from 9 bucket(s) of keys" in reason


def test_keys_that_failed_before_a_person_resumed_do_not_trip_again(tried: Hub) -> None:
    devices = fleet(tried, 6)
    id_ = tried.experiments.run(
        replace(BY_KEY, guardrails=Guardrails(then="pause")), actor="test"
    ).id
    began = time.time()
    for device in devices:
        device.sync()
        device.report_keys(began, {"control": ("1.0", 0.9), "one": ("1.1", 0.3)}, units=60)
    assert status(tried, id_)[0] == "paused"
    time.sleep(1.1)  # rows begin on whole seconds
    tried.experiments.resume(id_, actor="ann", reason="a camera was covered")
    loader = tried.experiments.evidence
    record, plan = tried.experiments.get(id_), tried.plans.current("demo")
    assert plan is not None
    for device in devices:
        device.sync()
        device.report_keys(time.time(), {"control": ("1.0", 0.9), "one": ("1.1", 0.9)}, units=60)
    arm = loader.load(loader.snapshot(record, plan, time.time() + 2)).arms["one"]
    assert arm.outcomes_of("accuracy") == 6 * 600
    (failed, labelled) = map(sum, zip(*arm.failures["wrong labels"].values(), strict=True))
    assert (failed, labelled) == (6 * 60, 6 * 600)


def test_a_shadow_run_serves_nobody_and_concludes(tried: Hub) -> None:
    devices = fleet(tried, 20)
    spec = ExperimentSpec("demo", "shadow", candidate="1.1", soak_seconds=0, device_share=0.5)
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
    assert {d.given.release.version for d in devices} == {"1.0"}
    beside = [d for d in devices if d.given.shadow is not None]
    assert 0 < len(beside) < 20
    for device in beside:
        device.shadow(time.time(), 400, won=40, lost=4)
    assert status(tried, id_)[0] == "concluded"
    record = tried.experiments.get(id_)
    assert (record.state.winner, "not worse" in record.reason) == ("candidate", True)
    found = record.figures.shadow
    assert (found.compared, found.skipped) == (400 * len(beside), {"queue": 3 * len(beside)})
    assert record.figures.devices["candidate"]["healthy"] == len(beside)
    plan = tried.plans.current("demo")
    assert plan is not None
    assert (plan.serving.version, plan.experiment) == ("1.0", None)
    tried.experiments.promote(id_, actor="ann", reason="the shadow was right")
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.serving.version == "1.1"


def test_interleaving_finds_the_ranking_that_people_prefer(tried: Hub) -> None:
    devices = fleet(tried, 10)
    spec = ExperimentSpec("demo", "interleave", candidate="1.1", soak_seconds=0, approval=True)
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
        device.rankings(time.time(), wins=30, losses=15)
    assert status(tried, id_)[0] == "waiting"
    found = tried.experiments.get(id_).figures.interleave
    assert (found.wins, found.losses, found.ties) == (300, 150, 20)
    assert found.signs.low > 0.5


def test_a_mismatch_blocks_the_verdict_and_says_where(tried: Hub) -> None:
    devices = fleet(tried, 240, ("eu",))
    spec = replace(CANARY, steps=(0.5, 1.0))
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
        if device.given.arm == "control" or int(device.name[-1], 16) < 6:  # many never report
            device.report(time.time(), 50, 0.95)
    assert status(tried, id_)[0] == "running"
    assert "sample-ratio mismatch in everybody" in tried.experiments.get(id_).reason


def test_devices_that_do_not_know_the_plan_yet_are_no_mismatch(tried: Hub) -> None:
    devices = fleet(tried, 240, ("eu",))
    spec = replace(CANARY, steps=(0.2, 0.6, 1.0))
    id_ = tried.experiments.run(spec, actor="test").id
    everybody(devices, lambda d: 0.95, n=100)
    assert status(tried, id_)[2] == 1
    for i, device in enumerate(devices):
        if i % 3:  # a third is offline, goes on under the old plan and tells of it later
            device.sync()
        device.report(time.time(), 100, 0.95)
    tried.experiments.tick(time.time())
    record = tried.experiments.get(id_)
    assert "mismatch" not in record.reason
    assert record.status == "promoted"


REFUSED: dict[str, tuple[dict[str, Any], type[HubFault], str]] = {
    "a version that nobody published": ({"candidate": "7.0"}, NotFound, "not published"),
    "the version that serves": ({"candidate": "1.0"}, Conflict, "serves already"),
    "a model that serves nothing": ({"model": "nobody"}, NotFound, "nothing serves yet"),
    "an attribute that no device has": (
        {"cohort": Cohort("planet", ("mars",))}, Invalid, r"'planet'; known: \['region'\]",
    ),
    "a cohort that no device belongs to": (
        {"stages": (StageSpec(Cohort("region", ("eu", "moon"))), StageSpec())},
        Invalid, r"region \['moon'\]; known: \['eu', 'us'\]",
    ),
    "more devices than there are": (
        {"minimum_devices": 3}, Invalid, "minimum_devices: expected at most the 2 of everybody",
    ),
    "more devices than a cohort has": (
        {"minimum_devices": 2, "stages": (StageSpec(Cohort("region", ("eu",))), StageSpec())},
        Invalid, "minimum_devices: expected at most the 1 of region=eu, got 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_experiment_that_cannot_be_is_refused(tried: Hub, case: str) -> None:
    changes, error, message = REFUSED[case]
    fleet(tried, 2)
    with pytest.raises(error, match=message):
        tried.experiments.run(replace(CANARY, **changes), actor="test")
    plan = tried.plans.current("demo")
    assert plan is not None
    assert plan.experiment is None
    assert tried.experiments.records() == []


def test_a_candidate_with_other_inputs_is_refused(tried: Hub, tmp_path: Path) -> None:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from converters import convert

    x = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    model = LogisticRegression().fit(x, x[:, 0] > 0)
    other = convert(model, x, None, name="demo", version="3.0", out=tmp_path / "other")
    tried.registry.publish(other, actor="test", gated=True)
    with pytest.raises(Conflict, match=r"3\.0: takes other inputs than 1\.0"):
        tried.experiments.run(replace(CANARY, candidate="3.0"), actor="test")


def test_a_retired_version_is_refused(tried: Hub) -> None:
    tried.plans.promote("demo", "1.1", actor="test", reason="by hand")
    with pytest.raises(Conflict, match=r"1\.0: is retired"):
        tried.experiments.run(replace(CANARY, candidate="1.0"), actor="test")


def test_a_second_experiment_on_a_model_is_refused(tried: Hub) -> None:
    first = tried.experiments.run(CANARY, actor="test").id
    with pytest.raises(Conflict, match=f"{first} runs; end it first"):
        tried.experiments.run(replace(CANARY, candidate="1.2"), actor="test")
    tried.experiments.stop(first, actor="test", reason="enough")
    assert tried.experiments.run(replace(CANARY, candidate="1.2"), actor="test").id != first


def test_what_makes_no_sense_in_a_state_is_refused(tried: Hub) -> None:
    id_ = tried.experiments.run(CANARY, actor="test").id
    with pytest.raises(Conflict, match="expected one that is paused, it is running"):
        tried.experiments.resume(id_, actor="test", reason="x")
    with pytest.raises(Conflict, match="expected an arm of"):
        tried.experiments.promote(id_, actor="test", reason="x", arm="nobody")
    tried.experiments.stop(id_, actor="test", reason="enough")
    for call in (tried.experiments.stop, tried.experiments.pause, tried.experiments.promote):
        with pytest.raises(Conflict, match="it is stopped"):
            call(id_, actor="test", reason="again")
    with pytest.raises(NotFound, match="experiment nobody: not found"):
        tried.experiments.pause("nobody", actor="test", reason="x")


def test_a_plan_that_a_person_changed_ends_the_experiment(tried: Hub) -> None:
    id_ = tried.experiments.run(CANARY, actor="test").id
    tried.plans.promote("demo", "1.2", actor="ann", reason="now")
    assert status(tried, id_)[0] == "stopped"
    assert "by hand" in tried.experiments.get(id_).reason


def test_an_experiment_is_remembered_over_a_restart(tried: Hub) -> None:
    from cloud_hub.hub import open_hub

    devices = fleet(tried, 20)
    id_ = tried.experiments.run(CANARY, actor="test").id
    everybody(devices, lambda d: 0.95)
    again = open_hub(tried.settings)
    try:
        assert status(again, id_) == ("running", 0, 1)
        assert again.experiments.get(id_).spec == CANARY
    finally:
        again.close()
