"""Personalisation as an arm: one release with its prior and without, judged by what was served."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloud_hub.errors import Conflict
from cloud_hub.experiments.evidence_rows import arm_of
from cloud_hub.experiments.exposure_rows import ArmSums
from cloud_hub.experiments.verdict.evidence import Evidence
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.measures import ExposureSums
from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec, parse_experiment
from cloud_hub.hub import Hub
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.key_buckets import BUCKETS, BucketOutcomes, BucketRequests
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.plan import Outcome, Plan, holdings
from edge_sdk.contract.window import Window
from tests.edge.personalise.simulated_units import class_prior
from tests.hub.enrolled import long_ago
from tests.hub.experiments.fleets import Device, fleet

SERVED = (Outcome("served", "served_accuracy", minimum_effect=0.01),)


def spec_of(how: Any = "without", **more: Any) -> ExperimentSpec:
    return ExperimentSpec(
        "demo", "ab", arms=(ArmSpec("tried", "1.0", 0.5, how),), soak_seconds=0,
        outcomes=SERVED, **more,
    )  # fmt: skip


@pytest.fixture
def hub(serving: Hub) -> Hub:
    serving.policies.apply("demo", "personalise: {mode: on}", actor="test")
    manifest = serving.registry.version("demo", "1.0").manifest
    prior = replace(class_prior(np.eye(3, 4)), manifest=manifest)
    serving.personalise.publish(prior, figures={}, verdict="", source="a test", actor="test")
    return serving


def plan_of(hub: Hub) -> Plan:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan


def served(device: Device, start: float, n: int, own: float, right: float) -> None:
    """``n`` labelled predictions: shares of the model's own answers and of those served right."""
    window = device.window(start)
    digest = device.hub.registry.release("demo", window.version).profile_digest
    device.send(
        WindowReport(window, digest, {"model": n}),
        FeedbackReport(window, n, round(right * n), n, round(own * n)),
    )


def run(hub: Hub, spec: ExperimentSpec, right: dict[str, float], n: int = 100) -> str:
    """Have forty devices report; return the experiment's id after a look."""
    devices = fleet(hub, 40)
    long_ago(hub)
    id_ = hub.experiments.run(spec, actor="test").id
    began = hub.experiments.get(id_).step_started_at
    for device in devices:
        device.sync()
    assert {d.given.arm for d in devices} == {"control", "tried"}
    for i, device in enumerate(devices):
        share = right[device.given.arm] + 0.01 * (i % 5 - 2)
        served(device, began, n, 0.8, share)
    hub.experiments.tick(time.time() + 3_600)
    return id_


def test_the_arm_without_has_the_release_and_no_prior_and_both_are_held(hub: Hub) -> None:
    hub.experiments.run(spec_of("without", minimum_devices=1), actor="test")
    plan = plan_of(hub)
    assert plan.experiment is not None
    (arm,) = plan.experiment.arms
    assert plan.serving.prior is not None
    assert arm.release == replace(plan.serving, prior=None)
    # What a device in the arm holds to go back to is what everybody else has.
    assert {r.prior for r in holdings(plan, "d", {})} <= {plan.serving.prior, None}


def test_the_arm_with_leaves_the_control_without_until_it_ends(hub: Hub) -> None:
    given = plan_of(hub).serving.prior
    id_ = hub.experiments.run(spec_of("with", minimum_devices=1), actor="test").id
    plan = plan_of(hub)
    assert plan.experiment is not None
    assert (plan.serving.prior, plan.experiment.arms[0].release.prior) == (None, given)
    hub.experiments.pause(id_, actor="test", reason="a look")
    hub.experiments.resume(id_, actor="test", reason="seen")
    assert plan_of(hub).serving.prior is None
    hub.experiments.stop(id_, actor="test", reason="enough")
    assert (plan_of(hub).serving.prior, plan_of(hub).experiment) == (given, None)


@pytest.mark.parametrize("how", ["with", "without"])
def test_it_ends_where_personalisation_is_switched_off_meanwhile(hub: Hub, how: str) -> None:
    id_ = hub.experiments.run(spec_of(how, minimum_devices=1), actor="test").id
    hub.experiments.tick(time.time() + 60)
    assert hub.experiments.get(id_).status == "running"
    hub.personalise.switch("demo", on=False, actor="test", reason="complaints")
    hub.experiments.tick(time.time() + 120)
    record = hub.experiments.get(id_)
    assert (record.status, record.reason) == (
        "stopped", "personalisation was switched off: both arms serve the same",
    )  # fmt: skip
    assert (plan_of(hub).serving.prior, plan_of(hub).experiment) == (None, None)


@pytest.mark.parametrize("how", ["with", "without"])
def test_it_goes_on_with_its_arms_where_a_switch_is_taken_back_at_once(hub: Hub, how: str) -> None:
    id_ = hub.experiments.run(spec_of(how, minimum_devices=1), actor="test").id
    before = plan_of(hub)
    hub.personalise.switch("demo", on=False, actor="test", reason="complaints")
    hub.personalise.switch("demo", on=True, actor="test", reason="a mistake")
    hub.experiments.tick(time.time() + 120)
    assert hub.experiments.get(id_).status == "running"
    after = plan_of(hub)
    assert before.experiment is not None
    assert after.experiment is not None
    assert after.serving.prior == before.serving.prior
    assert after.experiment.arms[0].release == before.experiment.arms[0].release


def test_it_ends_where_the_policy_says_that_devices_only_learn(hub: Hub) -> None:
    id_ = hub.experiments.run(spec_of(minimum_devices=1), actor="test").id
    hub.policies.apply("demo", "personalise: {mode: learn}", actor="test")
    hub.experiments.tick(time.time() + 60)
    assert hub.experiments.get(id_).status == "stopped"


def test_personalisation_that_helps_is_found_by_what_was_served(hub: Hub) -> None:
    id_ = run(hub, spec_of("with"), {"control": 0.80, "tried": 0.90})
    record = hub.experiments.get(id_)
    assert record.status == "concluded"
    assert record.state.winner == "tried"
    (outcome,) = record.figures.outcomes
    assert outcome.gain == pytest.approx(0.1, abs=0.02)
    # The release itself is on both arms, and stays as good as it was.
    assert hub.registry.version("demo", "1.0").status == "serving"
    assert plan_of(hub).serving.prior is not None
    assert "with personalisation" in hub.experiments.report(id_).tried


def test_personalisation_that_harms_is_found_though_the_models_own_answers_are_alike(
    hub: Hub,
) -> None:
    id_ = run(hub, spec_of("with"), {"control": 0.80, "tried": 0.65})
    record = hub.experiments.get(id_)
    assert record.status in ("aborted", "concluded")
    assert record.state.winner is None
    assert hub.registry.version("demo", "1.0").status == "serving"
    # No guard on wrong labels trips: they judge the release's own answers.
    assert not any(g.trips for g in record.figures.guardrails if g.name == "wrong labels")


def test_nothing_of_an_experiment_on_personalisation_is_promoted(hub: Hub) -> None:
    id_ = hub.experiments.run(spec_of(minimum_devices=1), actor="test").id
    with pytest.raises(Conflict, match="edge-hub personalise off"):
        hub.experiments.promote(id_, actor="test", reason="please")


def test_an_experiment_on_personalisation_says_nothing_against_the_version(hub: Hub) -> None:
    run(hub, spec_of("with"), {"control": 0.80, "tried": 0.60})
    preview = hub.plans.preview_promotion("demo", "1.0")
    assert not preview.changes


def test_how_long_it_takes_is_forecast_from_what_was_served_lately(hub: Hub) -> None:
    devices = fleet(hub, 20)
    long_ago(hub)
    for device in devices:
        device.sync()
        served(device, time.time() - 7_200, 100, 0.8, 0.9)
    forecast = hub.experiments.preparation.plan(spec_of(), time.time())
    (outcome,) = forecast.outcomes
    assert "without personalisation" in forecast.summary
    assert outcome.mean == pytest.approx(0.9, abs=0.01)


REFUSED = {
    "an outcome of the model's own answers": (
        {"outcomes": (Outcome("accuracy", "accuracy"),)}, "whose own answers are alike",
    ),
    "a promotion": ({"on_success": "promote"}, "expected conclude"),
    "a second arm": (
        {"arms": (ArmSpec("a", "1.0", 0.3, "with"), ArmSpec("b", "1.1", 0.3))}, "compared alone",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_of_such_an_experiment_is_refused(name: str) -> None:
    changes, words = REFUSED[name]
    with pytest.raises(ContractError, match=words):
        replace(spec_of(), **changes)


def test_it_is_refused_where_there_is_nothing_to_compare(hub: Hub) -> None:
    with pytest.raises(Conflict, match=r"1\.0 serves"):
        hub.experiments.run(
            replace(spec_of(), arms=(ArmSpec("t", "1.1", 0.5, "with"),)), actor="test"
        )
    hub.policies.apply("demo", "personalise: {mode: learn}", actor="test")
    with pytest.raises(Conflict, match="mode: learn"):
        hub.experiments.run(spec_of(), actor="test")
    hub.policies.apply("demo", "personalise: {mode: off}", actor="test")
    with pytest.raises(Conflict, match="no personal prior"):
        hub.experiments.run(spec_of(), actor="test")


def test_it_is_declared_in_a_file() -> None:
    text = """
model: demo
strategy: ab
unit: key
arms: [{name: plain, version: "1.0", weight: 0.5, personalise: without}]
outcomes: [{name: served, metric: served_accuracy, minimum_effect: 0.01}]
"""
    spec = parse_experiment(text)
    assert spec.tries_personalisation
    assert spec.versions == "1.0 without personalisation"
    assert not spec.promotes


def keyed(hub: Hub, id_: str, device: Device, right: dict[str, float], rng: Any) -> None:
    """One device's keys of both arms, by bucket."""
    began = int(hub.experiments.get(id_).step_started_at) + 1
    for arm, share in right.items():
        window = Window("demo", "1.0", began, began + 1, id_, arm)
        digest = hub.registry.release("demo", "1.0").profile_digest
        keys = rng.multinomial(60, np.full(BUCKETS, 1 / BUCKETS))
        labels = (10 * keys).tolist()
        own = [round(0.8 * n) for n in labels]
        good = rng.binomial(labels, share).tolist()
        total = sum(labels)
        device.send(
            WindowReport(
                window, digest, {"model": total}, units=60,
                buckets=BucketRequests(tuple(labels), (), tuple(keys.tolist())),
            ),
            FeedbackReport(
                window, total, sum(good), total, sum(own),
                buckets=BucketOutcomes(
                    tuple(labels), tuple(own), served_labelled=tuple(labels),
                    served_correct=tuple(good),
                ),
            ),
        )  # fmt: skip


@pytest.mark.parametrize(("share", "winner"), [(0.9, "tried"), (0.8, None)])
def test_by_key_the_buckets_of_what_was_served_decide(
    hub: Hub, share: float, winner: str | None
) -> None:
    devices = fleet(hub, 6)
    long_ago(hub)
    id_ = hub.experiments.run(spec_of("with", unit="key", minimum_devices=3), actor="test").id
    rng = np.random.default_rng(1)
    for device in devices:
        device.sync()
        keyed(hub, id_, device, {"control": 0.8, "tried": share}, rng)
    hub.experiments.tick(time.time() + 3_600)
    record = hub.experiments.get(id_)
    assert record.state.winner == winner
    (outcome,) = record.figures.outcomes
    assert outcome.gain == pytest.approx(share - 0.8, abs=0.03)


def test_arms_that_are_alike_get_a_verdict_in_few_of_many_trials() -> None:
    """A/A: of what was served on two arms alike, at five looks each, few are told apart."""
    spec = spec_of("with", minimum_outcomes=10)
    spec = replace(spec, outcomes=(Outcome("served", "served_accuracy"),))
    rng, wrong, trials = np.random.default_rng(5), 0, 200
    for _ in range(trials):
        rates = {d: rng.beta(16, 4) for d in range(30)}
        found = False
        for labels in (10, 20, 40, 80, 160):
            rows = [
                ArmSums(f"d-{d}", arm, 1.0, ExposureSums(
                    predictions=labels, served_labelled=labels,
                    served_correct=int(rng.binomial(labels, rate)), labelled=labels,
                    correct=labels,
                ))
                for d, rate in rates.items()
                for arm in [("control", "tried")[d % 2]]
            ]  # fmt: skip
            arms = {name: arm_of(name, rows, [], {}) for name in ("control", "tried")}
            decision = judge(spec, Evidence(arms, soaked=1e6), {})
            found = found or any(o.low > 0 or o.high < 0 for o in decision.figures.outcomes)
        wrong += found
    # 5% of 200 are 10; 19 or more of that chance have a probability of 0.5%.
    assert wrong < 19
