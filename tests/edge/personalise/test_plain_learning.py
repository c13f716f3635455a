"""The fast form of learning is the plain one, label for label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.personalise.correction import Correction
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.unit_state import UnitState
from tests.edge.personalise.plain_learning import PlainModel
from tests.edge.personalise.simulated_units import class_prior, floats

COLUMNS = 11
ACCURACY = 1e-5
DAY = 86_400.0


def prior_of(classes: int, rank: int, factors: int, *, cohort: bool) -> PersonalPrior:
    """A prior none of whose arrays is trivial."""
    rng = np.random.default_rng(classes + rank + factors)
    prior = class_prior(
        rng.normal(0, 1.5, (classes, rank)),
        cohorts={"north": rng.normal(0, 1, rank)} if cohort else None,
        factors=rng.normal(0, 0.4, (classes, rank, factors)) if factors else None,
    )
    assert prior.classes is not None
    part = replace(
        prior.classes,
        projection=floats(rng.normal(0, 1, (rank, COLUMNS)) / COLUMNS**0.5),
        origin=floats(rng.normal(0, 1, COLUMNS)),
        between=floats(rng.uniform(0.01, 3, rank)),
        shift=floats(rng.uniform(0.01, 3, rank)),
        frequencies=floats(rng.dirichlet(np.full(classes, 5.0))),
    )
    return replace(prior, classes=part)


def labels_of(
    model: PersonalModel, count: int
) -> Iterator[tuple[NDArray[np.float32], list[float], int, float]]:
    """Rows of a unit, of another one that comes after it, and with a third of the labels wrong."""
    rng = np.random.default_rng(3)
    classes = len(model.prior.labels)
    for number in range(count):
        if number % 60 == 0:
            own = rng.normal(0, 2, (classes, COLUMNS))
        row = int(rng.integers(classes))
        phi = (own[row] + rng.normal(0, 1, COLUMNS)).astype(np.float32)
        scores = rng.dirichlet(np.full(classes, 0.5)).tolist()
        label = int(rng.integers(classes)) if 30 < number < 60 and number % 3 == 0 else row
        yield phi, scores, label, 1.7e9 + number * DAY * (number > 90)


def near(found: object, expected: object) -> bool:
    """Whether arrays are alike, relative to the largest number."""
    exact = np.asarray(expected, float)
    return bool(np.abs(np.asarray(found, float) - exact).max() <= ACCURACY * np.abs(exact).max())


@pytest.mark.parametrize(
    ("classes", "rank", "factors", "cohort"),
    [(7, 32, 2, False), (3, 4, 0, True), (2, 1, 1, False), (5, 6, 3, True), (40, 8, 2, True)],
)
def test_states_outcomes_and_corrections_are_the_plain_ones_after_each_label(
    classes: int, rank: int, factors: int, cohort: bool
) -> None:
    prior = prior_of(classes, rank, factors, cohort=cohort)
    attributes = {"region": "north"} if cohort else {}
    model, plain = PersonalModel(prior, attributes), PlainModel(prior, attributes)
    state = model.new()
    for phi, scores, label, now in labels_of(model, 120):
        # Each label begins from the very same state, so that roundings do not add up.
        by_formula = UnitState(
            state.sums.astype(float), state.weights, state.guard, state.noise, state.last,
            state.drift, state.labels,
        )  # fmt: skip
        outcome = model.learn(state, phi, scores, label, now)
        losses = plain.learn(by_formula, phi, scores, label, now)  # type: ignore[arg-type]
        assert near((outcome.model_loss, outcome.personal_loss), losses)
        assert near(state.sums, by_formula.sums)
        assert near(state.weights, by_formula.weights)
        assert state.noise == pytest.approx(by_formula.noise, rel=ACCURACY)
        assert state.drift == pytest.approx(by_formula.drift, abs=1e-4)
        state.guard.serving = True
        correction = model.correction(state)
        assert isinstance(correction, Correction)
        power, matrix, offset = plain.correction(by_formula)
        assert correction.power == pytest.approx(power, rel=ACCURACY)
        assert near(correction.matrix, matrix)
        assert near(correction.offset, offset)


def test_one_units_labels_leave_another_units_answers_as_they_are() -> None:
    model = PersonalModel(prior_of(4, 5, 2, cohort=False), {})
    first, second = model.new(), model.new()
    for phi, scores, label, now in labels_of(model, 20):
        model.learn(first, phi, scores, label, now)
    kept = model.correction(first)
    assert isinstance(kept, Correction)
    matrix, offset = kept.matrix.copy(), kept.offset.copy()
    phi, scores, label, now = next(labels_of(model, 1))
    judged = model.judge(first, phi, scores, label)
    for row in labels_of(model, 20):
        model.learn(second, *row)
    assert (kept.matrix == matrix).all()
    assert (kept.offset == offset).all()
    assert model.judge(first, phi, scores, label) == judged
