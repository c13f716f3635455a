"""Personalisation switched off and on, by a person and by the policy."""

from __future__ import annotations

import pytest

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.hub import Hub
from cloud_hub.personalise.fit_request import FitRequest
from cloud_hub.policy.schema import parse_policy
from edge_sdk.contract.plan import Plan
from tests.hub.personalise.people import rows_file


def plan_of(hub: Hub) -> Plan:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan


def fit(hub: Hub) -> None:
    hub.personalise.fit("demo", None, rows_file(12, 30), FitRequest("person"), actor="test")


def test_a_plan_says_nothing_of_it_before_a_policy_does(serving: Hub) -> None:
    assert plan_of(serving).personalise is None
    fit(serving)
    assert plan_of(serving).serving.prior is None
    serving.policies.apply("demo", "personalise: {mode: on}", actor="test")
    assert plan_of(serving).serving.prior is not None


def test_a_policy_that_switches_it_off_takes_terms_and_prior_from_the_plan(serving: Hub) -> None:
    serving.policies.apply("demo", "personalise: {mode: on}", actor="test")
    fit(serving)
    done = serving.policies.apply("demo", "personalise: {mode: off}", actor="test")
    assert done.replan
    plan = plan_of(serving)
    assert (plan.personalise, plan.serving.prior) == (None, None)


def test_a_person_switches_it_off_whatever_the_policy_says_and_on_again(serving: Hub) -> None:
    serving.policies.apply("demo", "personalise: {mode: learn}", actor="test")
    fit(serving)
    status = serving.personalise.switch("demo", on=False, actor="ann", reason="complaints")
    assert status.switched_off is not None
    assert (status.switched_off.actor, status.plan) == ("ann", False)
    assert plan_of(serving).serving.prior is None
    serving.priors.tick(0.0)  # nothing brings it back
    serving.policies.apply("demo", "personalise: {mode: on}", actor="test")
    assert plan_of(serving).personalise is None
    status = serving.personalise.switch("demo", on=True, actor="ann", reason="mended")
    assert (status.switched_off, status.named) == (None, {"1.0": 1})
    actions = [entry.action for entry in serving.audit.entries()]
    assert {"personalise off", "personalise on"} <= set(actions)


def test_on_is_refused_where_the_policy_says_off(serving: Hub) -> None:
    with pytest.raises(Conflict, match="mode: off"):
        serving.personalise.switch("demo", on=True, actor="ann", reason="please")


REFUSED = {
    "an epsilon that hides nothing": ("epsilon: 3", "expected above 0 and up to 2, got 3"),
    "an epsilon of none": ("epsilon: 0", "expected above 0 and up to 2"),
    "one unit without noise": ("minimum_units: 1", "the sum of one unit is that unit"),
    "no unit": ("minimum_units: 0, epsilon: 1", "expected at least 1, got 0"),
    "a cohort that is the unit": ("unit_column: who, cohort: who", "a cohort has many units"),
    "a cohort with no name": ("cohort: 'a b/c'", "cohort"),
    "a column without a name": ("unit_column: ''", "expected the name of a column"),
    "a half-life of nothing": ("half_life_labels: 0", "half_life_labels: expected 1 to"),
    "half-life days below what is": ("half_life_days: -1", "half_life_days"),
    "all rankings by chance": ("explore: 0.9", "expected 0 to 0.5, got 0.9"),
    "another mode": ("mode: maybe", "mode"),
    "memory for nothing": ("memory_bytes: 1", "expected at least 100000"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_contradictions_of_the_section_are_refused_with_the_line(what: str) -> None:
    text, reason = REFUSED[what]
    with pytest.raises(Invalid, match=reason) as refused:
        parse_policy(f"budget: {{runs_per_week: 3}}\npersonalise: {{{text}}}")
    assert "policy.yaml:2" in str(refused.value)


def test_one_unit_with_noise_is_allowed() -> None:
    policy = parse_policy("personalise: {mode: on, minimum_units: 1, epsilon: 1.5}").personalise
    assert policy.terms is not None
    assert (policy.terms.minimum_units, policy.terms.epsilon) == (1, 1.5)


def test_a_plan_that_a_killed_hub_did_not_make_is_made_at_the_second_look(serving: Hub) -> None:
    serving.registry.set_policy("demo", "personalise: {mode: on}", "test")  # and no plan
    serving.priors.tick(0.0)
    assert plan_of(serving).personalise is None  # whoever set it may be about to make the plan
    serving.priors.tick(1.0)
    assert plan_of(serving).personalise is not None


def test_a_prior_whose_plan_is_made_by_somebody_else_at_that_moment_comes_with_the_loop(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.policies.apply("demo", "personalise: {mode: on}", actor="test")
    real = serving.plans.change

    def taken(*arguments: object, **more: object) -> Plan:
        raise Conflict("demo: the plan changed meanwhile, try again")

    monkeypatch.setattr(serving.plans, "change", taken)
    fit(serving)
    assert plan_of(serving).serving.prior is None
    monkeypatch.setattr(serving.plans, "change", real)
    serving.priors.tick(0.0)
    serving.priors.tick(1.0)
    assert plan_of(serving).serving.prior is not None
