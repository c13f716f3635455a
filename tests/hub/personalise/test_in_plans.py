"""What a plan says of personalisation, whatever else it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloud_hub.personalise.in_plans import manifests_of, personalised, tries_personalisation
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.plan import Arm, Experiment, Plan, PriorRef, ReleaseRef
from edge_sdk.contract.serving_terms import Personalisation

ONE, TWO = "1" * 64, "2" * 64
TERMS = Personalisation()


def prior(letter: str) -> PriorRef:
    return PriorRef(FileRef(10, letter * 64))


NEWEST = {ONE: prior("a"), TWO: prior("b")}


def plan_of(serving: ReleaseRef, *arms: ReleaseRef) -> Plan:
    trial = None
    if arms:
        half = (Arm("b", arms[0], ((0, 5_000),)),)
        trial = Experiment("trial", "ab", "salt", half)
    return Plan("demo", 3, serving, trial)


def test_with_terms_each_release_has_its_own_newest_prior() -> None:
    plan = plan_of(ReleaseRef("1.0", ONE, prior=prior("0")), ReleaseRef("2.0", TWO))
    after = personalised(plan, TERMS, NEWEST.get)
    assert after.personalise == TERMS
    assert after.serving.prior == NEWEST[ONE]
    assert after.experiment is not None
    assert after.experiment.arms[0].release.prior == NEWEST[TWO]
    assert personalised(after, TERMS, NEWEST.get) == after


def test_a_release_without_a_prior_has_none() -> None:
    after = personalised(plan_of(ReleaseRef("3.0", "3" * 64)), TERMS, NEWEST.get)
    assert after.serving.prior is None


def test_without_terms_no_release_has_one() -> None:
    plan = plan_of(ReleaseRef("1.0", ONE, prior=prior("a")), ReleaseRef("2.0", TWO))
    after = personalised(personalised(plan, TERMS, NEWEST.get), None, NEWEST.get)
    assert after.personalise is None
    assert after.serving.prior is None
    assert after.experiment is not None
    assert after.experiment.arms[0].release.prior is None
    assert b"prior" not in after.to_json()
    assert b"personalise" not in after.to_json()


@pytest.mark.parametrize("serves_with", [True, False])
def test_a_trial_of_personalisation_keeps_one_arm_with_and_one_without(serves_with: bool) -> None:
    given = ReleaseRef("1.0", ONE, prior=prior("0"))
    bare = replace(given, prior=None)
    plan = plan_of(*(given, bare) if serves_with else (bare, given))
    assert tries_personalisation(plan)
    after = personalised(plan, TERMS, NEWEST.get)
    assert after.experiment is not None
    found = (after.serving.prior, after.experiment.arms[0].release.prior)
    assert found == ((NEWEST[ONE], None) if serves_with else (None, NEWEST[ONE]))


def test_a_canary_of_another_version_is_no_trial_of_personalisation() -> None:
    plan = plan_of(ReleaseRef("1.0", ONE, prior=prior("0")), ReleaseRef("2.0", TWO))
    assert not tries_personalisation(plan)
    assert manifests_of(plan) == (ONE, TWO)


@pytest.mark.parametrize("serves_with", [True, False])
def test_a_trial_of_personalisation_that_was_switched_off_is_the_same_when_it_is_on_again(
    serves_with: bool,
) -> None:
    given = ReleaseRef("1.0", ONE, prior=prior("0"))
    bare = replace(given, prior=None)
    plan = plan_of(*(given, bare) if serves_with else (bare, given))
    off = personalised(plan, None, NEWEST.get)
    assert off.personalise is None  # so that devices open no prior
    assert personalised(off, TERMS, NEWEST.get) == personalised(plan, TERMS, NEWEST.get)
    assert personalised(replace(off, experiment=None), None, NEWEST.get).serving.prior is None
