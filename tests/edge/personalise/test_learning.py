"""Units learn what is theirs, from few labels, and do not learn what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.personalise.correction import Correction
from edge_sdk.personalise.outcome import LabelOutcome
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.unit_state import UnitState
from tests.edge.personalise.simulated_units import class_prior, number_prior

CLASSES, RANK = 5, 8
MEANS = np.random.default_rng(1).normal(0, 1.3, (CLASSES, RANK))


@dataclass
class Unit:
    """Rows of a unit with own class means, and what the fleet's model says of them."""

    means: NDArray[np.float64]
    rng: np.random.Generator

    def row(self) -> tuple[NDArray[np.float32], list[float], int]:
        label = int(self.rng.integers(CLASSES))
        phi = (self.means[label] + self.rng.normal(0, 1, RANK)).astype(np.float32)
        logits = -0.5 * ((phi - MEANS) ** 2).sum(axis=1)
        odds = np.exp(logits - logits.max())
        return phi, (odds / odds.sum()).tolist(), label


def fleet(helps: bool = True) -> PersonalModel:
    return PersonalModel(class_prior(MEANS, between=1.0, shift=1.0, helps=helps), {})


def shifted(seed: int) -> Unit:
    rng = np.random.default_rng(seed)
    return Unit(MEANS + rng.normal(0, 1, RANK) + rng.normal(0, 1, (CLASSES, RANK)), rng)


def teach(
    model: PersonalModel, state: UnitState, unit: Unit, labels: int, wrong: float = 0.0
) -> list[LabelOutcome]:
    outcomes = []
    for _ in range(labels):
        phi, scores, label = unit.row()
        if unit.rng.random() < wrong:
            label = int((label + unit.rng.integers(1, CLASSES)) % CLASSES)
        outcomes.append(model.learn(state, phi, scores, label, 0.0))
    return outcomes


def gain(model: PersonalModel, state: UnitState, unit: Unit, rows: int = 200) -> float:
    """Share of rows right as served, less the release's."""
    found = model.correction(state)
    if found is None:
        return 0.0
    assert isinstance(found, Correction)
    right = 0
    for _ in range(rows):
        phi, scores, label = unit.row()
        answer = found.apply(scores, phi)
        assert answer is not None
        right += int(np.argmax(answer) == label) - int(np.argmax(scores) == label)
    return right / rows


def gains(labels: int, units: int = 30, **how: float) -> Iterator[float]:
    model = fleet()
    for seed in range(units):
        unit, state = shifted(seed), model.new()
        teach(model, state, unit, labels, **how)
        yield gain(model, state, unit)


def test_without_a_label_the_release_answers() -> None:
    model = fleet()
    assert model.correction(model.new()) is None


def test_units_that_differ_gain_with_their_labels() -> None:
    few, many = np.mean(list(gains(10))), np.mean(list(gains(50)))
    assert few > 0.03
    assert many > 0.1


def test_with_a_third_of_the_labels_wrong_units_still_gain_and_none_loses_much() -> None:
    found = np.array(list(gains(50, wrong=0.3)))
    assert found.mean() > 0.05
    assert np.mean(found < -0.02) <= 0.05


def test_units_that_do_not_differ_lose_nothing() -> None:
    model = fleet()
    found = []
    for seed in range(20):
        unit, state = Unit(MEANS, np.random.default_rng(seed)), model.new()
        teach(model, state, unit, 50)
        found.append(gain(model, state, unit))
    assert np.mean(found) > -0.01


def test_without_the_priors_word_hardly_any_unit_that_does_not_differ_is_served() -> None:
    model = fleet(helps=False)
    served = 0
    for seed in range(100):
        state = model.new()
        teach(model, state, Unit(MEANS, np.random.default_rng(seed)), 50)
        served += model.correction(state) is not None
    assert served <= 1


def test_without_the_priors_word_a_unit_that_differs_much_earns_its_own_answers() -> None:
    model = fleet(helps=False)
    state = model.new()
    rng = np.random.default_rng(7)
    unit = Unit(MEANS[::-1].copy(), rng)
    teach(model, state, unit, 100)
    assert gain(model, state, unit) > 0.2


def test_two_classes_whose_names_a_unit_swaps_are_learnt() -> None:
    model = fleet()
    swapped = MEANS[[1, 0, 2, 3, 4]]
    unit, state = Unit(swapped, np.random.default_rng(3)), model.new()
    teach(model, state, unit, 60)
    assert gain(model, state, unit) > 0.2


def test_somebody_else_under_the_same_name_is_noticed_within_ten_labels() -> None:
    model = fleet()
    changed = []
    for seed in range(20):
        unit, other, state = shifted(seed), shifted(seed + 500), model.new()
        teach(model, state, unit, 50)
        teach(model, state, other, 10)
        changed.append(gain(model, state, other))
    assert np.mean(changed) > -0.01


def test_only_corrections_as_labels_do_no_harm_on_average() -> None:
    model = fleet()
    found = []
    for seed in range(20):
        unit, state = shifted(seed), model.new()
        for _ in range(150):
            phi, scores, label = unit.row()
            if int(np.argmax(scores)) != label:
                model.learn(state, phi, scores, label, 0.0)
        found.append(gain(model, state, unit))
    assert np.mean(found) > 0.02


def test_judging_changes_nothing_and_says_what_learning_says() -> None:
    model = fleet()
    unit, state = shifted(1), model.new()
    teach(model, state, unit, 20)
    phi, scores, label = unit.row()
    before = model.dump(state)
    judged = model.judge(state, phi, scores, label)
    assert model.dump(state) == before
    assert model.learn(state, phi, scores, label, 0.0) == judged


def test_the_correction_gives_the_answer_by_which_the_unit_was_judged() -> None:
    model = fleet()
    unit, state = shifted(2), model.new()
    teach(model, state, unit, 30)
    for _ in range(20):
        phi, scores, label = unit.row()
        correction = model.correction(state)
        assert isinstance(correction, Correction)
        answer = correction.apply(scores, phi)
        assert answer is not None
        assert sum(answer) == pytest.approx(1.0)
        outcome = model.judge(state, phi, scores, label)
        assert outcome.personal_right == (int(np.argmax(answer)) == label)
        noise = state.noise
        expected = -np.log((1 - noise) * answer[label] + noise / CLASSES)
        assert outcome.personal_loss == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_a_class_that_is_none_is_refused_in_words(label: int) -> None:
    model = fleet()
    with pytest.raises(InputError, match="expected class 0 to 4"):
        model.learn(model.new(), np.zeros(RANK, np.float32), [0.2] * CLASSES, label, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_refused_and_teaches_nothing(value: float) -> None:
    model = fleet()
    state = model.new()
    phi = np.zeros(RANK, np.float32)
    phi[3] = value
    with pytest.raises(InputError, match="finite"):
        model.learn(state, phi, [0.2] * CLASSES, 0, 0.0)
    assert not state.sums.any()


def test_a_row_beyond_all_others_leaves_the_unit_with_numbers() -> None:
    model = fleet()
    state = model.new()
    for size in (1e6, 1e18, 3e38):
        model.learn(state, np.full(RANK, size, np.float32), [0.2] * CLASSES, 0, 0.0)
    assert np.isfinite(state.sums).all()
    assert model.load(model.dump(state)).labels == 3


def test_a_class_without_labels_for_thousands_is_forgotten_wholly() -> None:
    model = fleet()
    unit, state = shifted(4), model.new()
    rows = [unit.row() for _ in range(200)]
    phi, scores, label = rows[0]
    model.learn(state, phi, scores, label, 0.0)
    for _ in range(20):
        for phi, scores, other in rows:
            if other != label:
                model.learn(state, phi, scores, other, 0.0)
    assert not state.sums[1, label].any()
    kept = state.sums[state.sums[:, :, -1] > 0]
    assert np.abs(kept[:, -1]).min() > np.finfo(np.float32).tiny


def test_a_regressors_unit_learns_its_offset_and_slope() -> None:
    model = PersonalModel(number_prior(), {})
    rng = np.random.default_rng(5)
    state = model.new()
    for value in rng.normal(10, 2, 60).tolist():
        truth = 3 + 1.2 * value + rng.normal(0, 0.5)
        model.learn_number(state, value, truth, 0.0)
    found = model.correction(state)
    assert found is not None
    assert not isinstance(found, Correction)
    assert found.apply(10.0) == pytest.approx(15.0, abs=0.4)
    assert found.apply(14.0) == pytest.approx(19.8, abs=0.8)


@pytest.mark.parametrize("truth", [np.nan, np.inf])
def test_a_true_value_that_is_no_number_is_refused(truth: float) -> None:
    model = PersonalModel(number_prior(), {})
    with pytest.raises(InputError, match="finite"):
        model.learn_number(model.new(), 1.0, truth, 0.0)


def test_one_absurd_true_value_moves_a_regressors_unit_little() -> None:
    model = PersonalModel(number_prior(), {})
    rng = np.random.default_rng(6)
    state = model.new()
    for value in rng.normal(10, 2, 40).tolist():
        model.learn_number(state, value, value + 2 + rng.normal(0, 0.5), 0.0)
    model.learn_number(state, 10.0, 1e300, 0.0)
    found = model.correction(state)
    assert found is not None
    assert not isinstance(found, Correction)
    assert found.apply(10.0) == pytest.approx(12.0, abs=1.0)


def test_a_unit_whose_own_answers_were_taken_back_is_not_heard_by_the_devices_guard() -> None:
    model = fleet()
    guard = model.new_guard()
    state = model.new()
    bad = LabelOutcome(own_right=True, personal_right=False, model_loss=0.1, personal_loss=3.0,
                  comparison=-1.0)  # fmt: skip
    settings = model.prior.settings
    for _ in range(1_000):
        state.guard.add(bad.comparison, settings.worse, settings.worse)
        model.guard_device(guard, state, bad)
    assert not state.guard.serving
    assert guard.serving
