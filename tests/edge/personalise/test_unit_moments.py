"""Moments of units: without bias, so that many of them give the variances between units."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk.personalise.outcome import LabelOutcome
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.tally import COUNTED, Tally
from tests.edge.personalise.simulated_units import (
    class_prior,
    number_prior,
    taught_numbers,
    taught_units,
)

MEANS = np.array([[3.0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]])


def test_moments_of_units_give_the_variances_between_them_whatever_the_prior_says() -> None:
    model = PersonalModel(class_prior(MEANS, between=9.0, shift=0.01), {})
    rng = np.random.default_rng(3)
    units = taught_units(model, 1_500, 24, rng, between=0.5, shift=2.0, mean=0.7)
    found = [model.summary(state) for state in units]
    crossed = [unit for unit in found if unit.classes > 1]
    shift = np.mean([unit.shift for unit in found], axis=0)
    squares = np.mean([unit.squares for unit in found], axis=0)
    cross = np.mean([unit.cross for unit in crossed], axis=0)
    assert shift == pytest.approx(0.7, abs=0.15)
    assert cross - shift**2 == pytest.approx(2.0, abs=0.35)
    assert squares - cross == pytest.approx(0.5, abs=0.15)


def test_moments_are_from_what_the_units_cohort_begins_with() -> None:
    prior = class_prior(MEANS, cohorts={"eu": np.full(4, 0.7)})
    model = PersonalModel(prior, {"region": "eu"})
    rng = np.random.default_rng(4)
    found = [model.summary(s).shift for s in taught_units(model, 400, 24, rng, mean=0.7)]
    assert np.mean(found, axis=0) == pytest.approx(0.0, abs=0.2)


def test_moments_of_a_regressors_units_give_the_variances_of_offset_and_slope() -> None:
    model = PersonalModel(number_prior(offset=4.0, slope=1.0), {})
    found = [model.summary(s) for s in taught_numbers(model, 1_200, 20, np.random.default_rng(5))]
    assert np.mean([unit.squares for unit in found], axis=0) == pytest.approx([4.0, 1.0], rel=0.15)
    assert np.mean([unit.shift for unit in found], axis=0) == pytest.approx([0.0, 0.0], abs=0.2)


def test_answers_that_are_all_alike_say_nothing_of_a_slope() -> None:
    model = PersonalModel(number_prior(), {})
    state = model.new()
    for _ in range(20):
        model.learn_number(state, 12.0, 13.0, 0.0)
    unit = model.summary(state)
    assert unit.shift == pytest.approx([1.0, 0.0])
    assert unit.squares[1] == 0.0


def test_a_unit_without_a_label_has_moments_of_nothing() -> None:
    model = PersonalModel(class_prior(MEANS), {})
    unit = model.summary(model.new())
    assert (unit.classes, unit.both + unit.neither, float(np.abs(unit.shift).max())) == (0, 0, 0.0)


def test_a_tally_is_of_one_generation_and_survives_the_disk() -> None:
    old, new = (PersonalModel(class_prior(MEANS, generation=g), {}) for g in (1, 2))
    (state,) = taught_units(old, 1, 30, np.random.default_rng(6))
    assert old.summary(state).both > 0
    assert old.load(old.dump(state)).tally.pack() == state.tally.pack()
    carried = new.load(old.dump(state))
    assert (new.summary(carried).both, carried.labels) == (0, 30)
    new.learn(carried, np.zeros(4, np.float32), [1.0, 0.0, 0.0], 0, 0.0, served=True)
    unit = new.summary(carried)
    assert unit.both + unit.model_only + unit.personal_only + unit.neither == 1
    assert unit.served == 1


def test_a_tally_stops_before_its_counts_are_too_large_to_store() -> None:
    tally = Tally()
    for _ in range(COUNTED + 5):
        tally.add(LabelOutcome(True, False, 1.0, 2.0, -1.0), 3, served=False)
    assert (tally.labels, tally.model_only) == (COUNTED, COUNTED)
    assert Tally.unpack(tally.pack()).model_only == COUNTED


@pytest.mark.parametrize("raw", [b"\xff" * 22, b"\x01\x00\x00\x00" + b"\xff\x7f" * 9])
def test_a_tally_that_the_disk_has_damaged_is_none(raw: bytes) -> None:
    assert Tally.unpack(raw).labels == 0
