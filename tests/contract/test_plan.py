"""Arm assignment: exact, uniform, stable when a weight rises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import (
    SLOTS,
    Arm,
    Assignment,
    Cohort,
    Experiment,
    Outcome,
    Plan,
    ReleaseRef,
    assign,
    holdings,
    slot_of,
    widen,
)

SERVING = ReleaseRef("1.0", "a" * 64)
CANDIDATE = ReleaseRef("1.1", "b" * 64)
RIVAL = ReleaseRef("1.2", "c" * 64)
EVERYBODY = ((0, SLOTS),)
NOBODY: dict[str, str] = {}
UNITS = [f"device-{i}" for i in range(20_000)]


def plan_with(*arms: Arm, strategy: str = "ab", **more: Any) -> Plan:
    trial = Experiment("exp", strategy, "salt", arms, **more)  # type: ignore[arg-type]
    return Plan("digits", 1, SERVING, trial)


# Frozen: every platform and every future version must give the same slots.
SLOT_VECTORS = [
    ("", "", 4304),
    ("salt", "device-0", 3489),
    ("salt", "device-1", 6538),
    ("pepper", "device-1", 1705),
    ("salz", "Gerät-ß", 3422),
]


@pytest.mark.parametrize(("salt", "unit", "slot"), SLOT_VECTORS)
def test_slots_equal_the_golden_vectors(salt: str, unit: str, slot: int) -> None:
    assert slot_of(salt, unit) == slot


def test_slots_are_uniform_by_chi_squared() -> None:
    bins = Counter(slot_of("uniform", unit) * 100 // SLOTS for unit in UNITS)
    expected = len(UNITS) / 100
    chi_squared = sum((bins[b] - expected) ** 2 / expected for b in range(100))
    assert chi_squared < 148  # 99 degrees of freedom, p = 0.001


def test_without_an_experiment_everybody_gets_what_serves() -> None:
    assert assign(Plan("digits", 1, SERVING), "u", {}) == Assignment(SERVING)


def test_a_unit_inside_the_slots_gets_the_candidate_and_others_are_control() -> None:
    plan = plan_with(Arm("new", CANDIDATE, ((0, 3_000),)))
    arms = {unit: assign(plan, unit, {}) for unit in UNITS}
    assert {a.arm for a in arms.values()} == {"new", CONTROL}
    for unit, assignment in arms.items():
        inside = slot_of("salt", unit) < 3_000
        assert assignment.release == (CANDIDATE if inside else SERVING)
        assert assignment.experiment == "exp"


def test_a_device_outside_the_cohort_takes_no_part() -> None:
    plan = plan_with(
        Arm("new", CANDIDATE, EVERYBODY), strategy="canary", cohort=Cohort("region", ("eu",))
    )
    assert assign(plan, "u", {"region": "us"}) == Assignment(SERVING)
    assert assign(plan, "u", {}) == Assignment(SERVING)
    assert assign(plan, "u", {"region": "eu"}).release == CANDIDATE


@pytest.mark.parametrize("strategy", ["shadow", "interleave"])
def test_what_runs_beside_is_never_served(strategy: str) -> None:
    arm = Arm("new", CANDIDATE, ((0, 3_000),))
    plan = plan_with(arm, strategy=strategy)
    for unit in UNITS[:1_000]:
        given = assign(plan, unit, {})
        inside = arm if slot_of("salt", unit) < 3_000 else None
        assert (given.release, given.arm, given.experiment) == (SERVING, CONTROL, "exp")
        beside = (given.shadow, given.interleaved)
        assert beside == ((inside, None) if strategy == "shadow" else (None, inside))


ATTRIBUTES = st.fixed_dictionaries(
    {}, optional={"region": st.sampled_from("abc"), "site": st.sampled_from("xy")}
)
COHORTS = [Cohort("region", ("a",)), Cohort("region", ("b",)), Cohort("site", ("x",))]


@given(unit=st.text(max_size=8), attributes=ATTRIBUTES, stage=st.integers(0, 3))
def test_who_is_in_a_canary_stays_in_through_every_step_and_stage(
    unit: str, attributes: dict[str, str], stage: int
) -> None:
    """Steps of 1, 25 and 100% in cohort after cohort, then among the rest."""
    was_in = False
    for number in range(stage + 1):
        for weight in (100, 2_500, SLOTS):
            plan = plan_with(
                Arm("new", CANDIDATE, ((0, weight),)),
                strategy="canary",
                cohort=COHORTS[number] if number < len(COHORTS) else None,
                completed=tuple(COHORTS[:number]),
            )
            given = assign(plan, unit, attributes)
            assert was_in <= (given.release == CANDIDATE)
            was_in = given.release == CANDIDATE
            reached = any(cohort.includes(attributes) for cohort in COHORTS[:number])
            assert reached <= was_in
            assert (given.experiment is None) == (
                not reached and number < 3 and not COHORTS[number].includes(attributes)
            )
    assert was_in or stage < 3


@given(unit=st.text(max_size=8), attributes=ATTRIBUTES)
def test_a_paused_canary_keeps_who_is_in_and_lets_nobody_enter(
    unit: str, attributes: dict[str, str]
) -> None:
    running = plan_with(
        Arm("new", CANDIDATE, ((0, 5_000),)),
        strategy="canary",
        cohort=COHORTS[1],
        completed=(COHORTS[0],),
    )
    assert running.experiment is not None
    paused = replace(running, experiment=replace(running.experiment, paused=True))
    before = assign(running, unit, attributes)
    assert assign(paused, unit, attributes, entered=True) == before
    outsider = assign(paused, unit, attributes)
    assert outsider.release == SERVING
    assert outsider == (before if before.arm == CONTROL else Assignment(SERVING))


@pytest.mark.parametrize("strategy", ["shadow", "interleave"])
def test_nothing_runs_beside_while_paused(strategy: str) -> None:
    plan = plan_with(Arm("new", CANDIDATE, EVERYBODY), strategy=strategy, paused=True)
    assert assign(plan, "u", NOBODY, entered=True) == Assignment(SERVING, CONTROL, "exp")
    assert holdings(plan, "u", NOBODY) == (SERVING,)


ARMS = (Arm("b", CANDIDATE, ((0, 2_000),)), Arm("c", RIVAL, ((2_000, 5_000),)))
HOLDINGS = {
    "no experiment: what serves": (Plan("digits", 1, SERVING), (SERVING,)),
    "an A/B by key: every arm": (plan_with(*ARMS, unit="key"), (SERVING, CANDIDATE, RIVAL)),
    "an A/B by key in another cohort: what serves": (
        plan_with(*ARMS, unit="key", cohort=Cohort("region", ("eu",))),
        (SERVING,),
    ),
    "a canary that got here: also what serves, to go back to": (
        plan_with(Arm("new", CANDIDATE, EVERYBODY), strategy="canary"),
        (SERVING, CANDIDATE),
    ),
    "a shadow: both": (
        plan_with(Arm("new", CANDIDATE, EVERYBODY), strategy="shadow"),
        (SERVING, CANDIDATE),
    ),
    "an A/A: one": (plan_with(Arm("new", SERVING, EVERYBODY), strategy="interleave"), (SERVING,)),
}


@pytest.mark.parametrize("case", HOLDINGS)
def test_a_device_holds_what_its_plan_needs(case: str) -> None:
    plan, expected = HOLDINGS[case]
    assert holdings(plan, "u", NOBODY) == expected


@given(unit=st.text(max_size=8), paused=st.booleans(), entered=st.booleans())
def test_a_device_holds_all_that_it_is_assigned(unit: str, paused: bool, entered: bool) -> None:
    for strategy in ("canary", "ab", "shadow", "interleave"):
        plan = plan_with(Arm("new", CANDIDATE, ((0, 5_000),)), strategy=strategy, paused=paused)
        given = assign(plan, unit, NOBODY, entered=entered)
        beside = [arm.release for arm in (given.shadow, given.interleaved) if arm is not None]
        held = holdings(plan, unit, NOBODY, entered=entered)
        assert held[0] == SERVING
        assert {given.release, *beside} <= set(held)


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)), min_size=1, max_size=6))
def test_raising_weights_moves_no_slot_that_an_arm_owns(steps: list[tuple[int, int]]) -> None:
    arms: tuple[Arm, ...] = (Arm("a", CANDIDATE), Arm("b", CANDIDATE))
    weights = {"a": 0, "b": 0}
    for more_a, more_b in steps:
        weights = {
            "a": min(weights["a"] + more_a, SLOTS // 2),
            "b": min(weights["b"] + more_b, SLOTS // 2),
        }
        wider = widen(arms, weights)
        for before, after in zip(arms, wider, strict=True):
            owned = {s for low, high in before.slots for s in range(low, high)}
            owns = {s for low, high in after.slots for s in range(low, high)}
            assert owned <= owns
            assert len(owns) == after.weight == weights[after.name]
        ranges = sorted(slots for arm in wider for slots in arm.slots)
        assert all(a[1] <= b[0] for a, b in pairwise(ranges))
        arms = wider


def test_the_whole_fleet_is_reached_at_full_weight() -> None:
    arms = widen(widen((Arm("new", CANDIDATE),), {"new": 1_234}), {"new": SLOTS})
    assert arms[0].slots == ((0, SLOTS),)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": SLOTS, "b": 1}, "a sum of at most"),
        ({"a": 10, "b": 100}, "a weight only goes up"),
    ],
)
def test_weights_that_cannot_be_given_are_refused(weights: dict[str, int], message: str) -> None:
    arms = (Arm("a", CANDIDATE, ((0, 100),)), Arm("b", CANDIDATE, ((100, 200),)))
    with pytest.raises(ContractError, match=message):
        widen(arms, weights)


def test_a_new_salt_draws_anew() -> None:
    plan = plan_with(Arm("new", CANDIDATE, ((0, 5_000),)))
    assert plan.experiment is not None
    other = replace(plan, experiment=replace(plan.experiment, salt="other"))
    agree = sum(assign(plan, u, {}).arm == assign(other, u, {}).arm for u in UNITS)
    assert 0.48 < agree / len(UNITS) < 0.52


def test_better_is_more_of_what_is_good_and_less_of_what_costs() -> None:
    measures = ("accuracy", "reward", "latency", "errors", "energy")
    upward = [Outcome("o", measure).upward for measure in measures]  # type: ignore[arg-type]
    assert upward == [True, True, False, False, False]
    assert not Outcome("squared-error", "reward", "down").upward


def test_dropping_an_arm_moves_nobody_and_adds_nobody_to_the_control() -> None:
    """Those of the arm get what serves and speak for nobody; all others are where they were."""
    before = plan_with(*ARMS)
    assert before.experiment is not None
    after = replace(before, experiment=before.experiment.drop(["b"]))
    for unit in UNITS:
        was, now = assign(before, unit, NOBODY), assign(after, unit, NOBODY)
        assert now == (Assignment(SERVING) if was.arm == "b" else was)
    assert after.experiment is not None
    assert (after.experiment.control, before.experiment.control) == (5_000, 5_000)


def test_a_dropped_arm_is_held_by_nobody() -> None:
    plan = plan_with(ARMS[1], unit="key", dropped=(ARMS[0],))
    assert holdings(plan, "u", NOBODY) == (SERVING, RIVAL)


DROPS: dict[str, tuple[dict[str, Any], str]] = {
    "slots of a dropped arm given to another": (
        {"dropped": (Arm("x", RIVAL, ((0, 10),)),)}, "do not overlap",
    ),
    "the name of a dropped arm given to another": (
        {"dropped": (Arm("b", RIVAL, ((9_000, 9_010),)),)}, "different names",
    ),
    "a canary without its arm": (
        {"strategy": "canary", "dropped": (Arm("x", RIVAL, ((9_000, 9_010),)),)},
        "canary ends with its only arm",
    ),
    "nothing left to the control": (
        {"dropped": (Arm("x", RIVAL, ((2_000, SLOTS),)),)}, "no slots to the serving",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DROPS)
def test_drops_that_cannot_be_are_refused(case: str) -> None:
    more, message = DROPS[case]
    with pytest.raises(ContractError, match=message):
        plan_with(ARMS[0], **more)


def test_dropping_what_is_no_arm_or_the_last_one_is_refused() -> None:
    trial = plan_with(*ARMS).experiment
    assert trial is not None
    with pytest.raises(ContractError, match="expected arms of exp"):
        trial.drop(["x"])
    with pytest.raises(ContractError, match="expected at least one"):
        trial.drop(["b", "c"])
