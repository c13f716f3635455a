"""Arm assignment: exact, uniform, stable when a weight rises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.plan import (
    CONTROL,
    SLOTS,
    Arm,
    Assignment,
    Cohort,
    Experiment,
    Plan,
    ReleaseRef,
    assign,
    slot_of,
    widen,
)

SERVING = ReleaseRef("1.0", "a" * 64)
CANDIDATE = ReleaseRef("1.1", "b" * 64)
UNITS = [f"device-{i}" for i in range(20_000)]


def plan_with(*arms: Arm, cohort: Cohort | None = None, strategy: str = "ab") -> Plan:
    trial = Experiment("exp", strategy, "salt", arms, cohort)  # type: ignore[arg-type]
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
    plan = plan_with(Arm("new", CANDIDATE, ((0, SLOTS),)), cohort=Cohort("region", ("eu",)))
    assert assign(plan, "u", {"region": "us"}) == Assignment(SERVING)
    assert assign(plan, "u", {}) == Assignment(SERVING)
    assert assign(plan, "u", {"region": "eu"}).release == CANDIDATE


def test_a_shadow_is_never_served() -> None:
    plan = plan_with(Arm("new", CANDIDATE, ((0, SLOTS),)), strategy="shadow")
    assert assign(plan, "u", {}) == Assignment(SERVING, "new", "exp", shadow=CANDIDATE)


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
        Experiment("exp", "ab", "salt", wider)  # refuses slots that overlap
        for before, after in zip(arms, wider, strict=True):
            owned = {s for low, high in before.slots for s in range(low, high)}
            owns = {s for low, high in after.slots for s in range(low, high)}
            assert owned <= owns
            assert len(owns) == after.weight == weights[after.name]
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
