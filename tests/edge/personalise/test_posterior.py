"""The closed form is the posterior mean of the model that it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_sdk.personalise.class_space import ClassSpace
from edge_sdk.personalise.posterior import Posteriors
from tests.edge.personalise.simulated_units import class_prior, floats

CLASSES, RANK = 3, 2


def space(between: float, shift: float, factors: NDArray[np.float64] | None) -> ClassSpace:
    means = np.arange(CLASSES * RANK, dtype=float).reshape(CLASSES, RANK)
    prior = class_prior(means, between=between, shift=shift)
    assert prior.classes is not None
    along = None if factors is None else floats(factors)
    return ClassSpace(replace(prior, classes=replace(prior.classes, factors=along)), {})


def by_equations(
    sums: NDArray[np.float64], between: float, shift: float, factors: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Posterior deviations [C, r] of the joint normal model, by one system of equations."""
    size = CLASSES * RANK
    covariance = between * np.eye(size)
    covariance += shift * np.kron(np.ones((CLASSES, CLASSES)), np.eye(RANK))
    if factors is not None:
        covariance += factors @ factors.T
    counts = np.repeat(sums[:, -1], RANK)
    information = np.linalg.inv(covariance) + np.diag(counts)
    return np.linalg.solve(information, sums[:, :-1].ravel()).reshape(CLASSES, RANK)


COUNTS = st.lists(st.integers(0, 20), min_size=CLASSES, max_size=CLASSES)
VARIANCE = st.floats(0.05, 5.0)


@settings(max_examples=60)
@given(COUNTS, VARIANCE, VARIANCE, st.integers(0, 2**32 - 1))
def test_without_factors_means_are_those_of_the_joint_model(
    counts: list[int], between: float, shift: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    count = np.array(counts, float)[:, None]
    sums = np.hstack([count * rng.normal(0, 1, (CLASSES, RANK)), count])
    found = Posteriors(space(between, shift, None)).of(np.stack([sums, sums]).astype(np.float32))
    expected = by_equations(sums, between, shift, None)
    base = np.arange(CLASSES * RANK, dtype=float).reshape(CLASSES, RANK)
    assert found.means[0] - base == pytest.approx(expected, abs=2e-3)


@settings(max_examples=40)
@given(COUNTS, VARIANCE, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_with_factors_and_no_shift_means_are_those_of_the_joint_model(
    counts: list[int], between: float, number: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    factors = rng.normal(0, 1, (CLASSES * RANK, number))
    count = np.array(counts, float)[:, None]
    sums = np.hstack([count * rng.normal(0, 1, (CLASSES, RANK)), count])
    found = Posteriors(space(between, 0.0, factors)).of(np.stack([sums, sums]).astype(np.float32))
    expected = by_equations(sums, between, 1e-6, factors)
    base = np.arange(CLASSES * RANK, dtype=float).reshape(CLASSES, RANK)
    assert found.means[0] - base == pytest.approx(expected, abs=5e-3)


def test_a_unit_without_labels_has_the_means_of_its_cohort() -> None:
    means = np.zeros((CLASSES, RANK))
    prior = class_prior(means, cohorts={"north": np.array([1.0, -2.0])})
    sums = np.zeros((2, CLASSES, RANK + 1), np.float32)
    found = Posteriors(ClassSpace(prior, {"region": "north"})).of(sums)
    assert found.means == pytest.approx(np.broadcast_to([1.0, -2.0], (2, CLASSES, RANK)))
    elsewhere = Posteriors(ClassSpace(prior, {"region": "nowhere"})).of(sums)
    assert elsewhere.means == pytest.approx(np.zeros((2, CLASSES, RANK)))


def test_with_labels_a_row_is_known_better() -> None:
    sums = np.zeros((2, CLASSES, RANK + 1), np.float32)
    before = Posteriors(space(1.0, 1.0, None)).of(sums).precision
    sums[:, :, -1] = 50.0
    after = Posteriors(space(1.0, 1.0, None)).of(sums).precision
    assert (before < after).all()
    assert after == pytest.approx(1.0, abs=0.05)
