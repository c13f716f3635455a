"""What is packed of a unit comes back, and damage is told from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.contract.errors import ContractError
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.unit_state import UnitState
from tests.edge.personalise.simulated_units import class_prior, number_prior, taught_units

CLASSES, RANK = 7, 16


def model(seed: int = 0) -> PersonalModel:
    means = np.random.default_rng(seed).normal(0, 2, (CLASSES, RANK))
    return PersonalModel(class_prior(means), {})


def taught(labels: int, seed: int) -> tuple[PersonalModel, UnitState]:
    made = model()
    (state,) = taught_units(made, 1, labels, np.random.default_rng(seed))
    return made, state


@settings(max_examples=40)
@given(st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_a_unit_that_is_packed_and_unpacked_answers_as_before(labels: int, seed: int) -> None:
    made, state = taught(labels, seed)
    raw = made.dump(state)
    assert len(raw) <= made.state_bytes
    again = made.load(raw)
    assert again.sums == pytest.approx(state.sums, rel=2e-3, abs=2e-2)
    assert (again.labels, again.last) == (state.labels, state.last)
    assert again.tally.pack() == state.tally.pack()
    assert again.weights == pytest.approx(state.weights, abs=1e-6)
    assert again.guard.serving == state.guard.serving
    before, after = made.correction(state), made.correction(again)
    if before is None or after is None:
        assert before is after
        return
    phi = np.random.default_rng(seed).normal(0, 2, RANK).astype(np.float32)
    scores = [1 / CLASSES] * CLASSES
    assert after.apply(scores, phi) == pytest.approx(before.apply(scores, phi), abs=0.01)


def test_ten_thousand_units_of_seven_classes_in_sixteen_dimensions_fit_into_eight_megabytes() -> (
    None
):
    made, state = taught(200, 1)
    assert len(made.dump(state)) <= made.state_bytes <= 800


def test_a_unit_that_is_packed_at_each_label_learns_as_one_that_is_not() -> None:
    made = model()
    rng = np.random.default_rng(3)
    kept, packed = made.new(), made.new()
    means = made.prior.classes.means.numbers() if made.prior.classes else ()
    table = np.array(means).reshape(CLASSES, RANK) + 1.0
    scores = [1 / CLASSES] * CLASSES
    for label in rng.integers(0, CLASSES, 400).tolist():
        phi = (table[label] + rng.normal(0, 1, RANK)).astype(np.float32)
        made.learn(kept, phi, scores, label, 0.0)
        made.learn(packed, phi, scores, label, 0.0)
        packed = made.load(made.dump(packed))
    # In units of one row's spread: float16 loses nothing that 400 labels could tell.
    counts = np.maximum(kept.sums[:, :, -1:], 1e-9)
    apart = np.abs(packed.sums / counts - kept.sums / counts)[:, :, :-1]
    assert apart.max() < 0.02


@settings(max_examples=150)
@given(st.data())
def test_damage_is_refused_or_leaves_a_unit_that_answers_with_numbers(data: st.DataObject) -> None:
    made, state = taught(30, 5)
    raw = bytearray(made.dump(state))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = made.load(bytes(raw))
    except ContractError:
        return
    phi = np.ones(RANK, np.float32)
    made.learn(found, phi, [1 / CLASSES] * CLASSES, 0, 0.0)
    assert np.isfinite(found.sums).all()


@given(st.data())
def test_torn_bytes_are_refused(data: st.DataObject) -> None:
    made, state = taught(30, 5)
    raw = made.dump(state)
    with pytest.raises(ContractError, match="unit: expected"):
        made.load(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_a_unit_of_another_basis_is_refused() -> None:
    made, state = taught(30, 5)
    with pytest.raises(ContractError, match="another one's"):
        model(seed=1).load(made.dump(state))


def test_a_regressors_unit_comes_back() -> None:
    made = PersonalModel(number_prior(), {})
    state = made.new()
    for value in (8.0, 9.5, 12.0):
        made.learn_number(state, value, value + 2, 100.0)
    again = made.load(made.dump(state))
    assert again.sums == pytest.approx(state.sums, rel=2e-3)


def test_what_was_learnt_fades_by_time_and_a_clock_that_goes_back_forgets_nothing() -> None:
    _, state = taught(30, 5)
    state.last = 1e9
    before = state.sums.copy()
    state.age(1e9 + 180 * 86_400.0, 180.0)
    assert state.sums == pytest.approx(before / 2, rel=1e-5)
    state.age(1e8, 180.0)
    assert state.sums == pytest.approx(before / 2, rel=1e-5)
    state.age(1e8 + 180 * 86_400.0, 180.0)
    assert state.sums == pytest.approx(before / 4, rel=1e-5)
