"""How much units differ is learned from all of a device's units, and so that none can lie much."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk.personalise.rankings.session_model import (
    PROBABILITY,
    SessionModel,
    SessionState,
    design,
)
from edge_sdk.personalise.rankings.taste_mixture import (
    LARGEST,
    TasteMixture,
    TasteWeights,
    log_likelihood,
)


def log_normal(residuals: np.ndarray, covariance: np.ndarray) -> float:
    """The log density of a normal of mean zero, by the textbook's formula."""
    _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
    return float(-0.5 * (log_determinant + residuals @ np.linalg.solve(covariance, residuals)))


def rows(random: np.random.Generator, n: int = 6) -> np.ndarray:
    return design(1.0, random.random(n), random.standard_normal((n, 3)))


def test_the_likelihood_of_a_list_is_that_of_a_normal_with_the_posterior_s_covariance() -> None:
    random, model, state = np.random.default_rng(1), SessionModel(), SessionState(b"", 1.0, 3)
    model.learn(state, rows(random), random.random(6), PROBABILITY, 0.0)
    x, residuals = rows(random), random.normal(size=6)
    constant = None
    for part in model.posteriors(state, 0.0):
        covariance = x @ part.root @ part.root.T @ x.T + 0.2 * np.eye(6)
        exact = log_normal(residuals - x @ part.mean, covariance)
        ours = log_likelihood(part, x, residuals, 0.2)
        assert constant is None or exact - ours == pytest.approx(constant)
        constant = exact - ours


def weights_after(taste: float, lists: int, seed: int) -> np.ndarray:
    """Weights after lists of units of 5 lists each, whose tastes differ this much."""
    random, model = np.random.default_rng(seed), SessionModel()
    weights = TasteWeights(len(model.terms.tastes))
    for k in range(lists):
        if k % 5 == 0:
            state, own = SessionState(b"", 1.0, 3), random.normal(0, taste, 3)
        x = design(1.0, random.uniform(0.3, 0.7, 6), random.standard_normal((6, 3)) / np.sqrt(3))
        rate = np.clip(x[:, 1] + x[:, 2:] @ own, 0, 1)
        rewards = (random.random(6) < rate).astype(float)
        residuals = model.residuals(x, rewards, PROBABILITY)
        noise = model.terms.noise
        parts = model.posteriors(state, 0.0)
        weights.add(np.array([log_likelihood(part, x, residuals, noise) for part in parts]))
        model.learn(state, x, rewards, PROBABILITY, 0.0)
    return weights.weights


def test_where_units_are_alike_the_release_s_order_gets_the_weight_and_else_a_taste() -> None:
    for seed in range(5):
        assert weights_after(0.0, 400, seed)[0] > 0.8
        assert weights_after(0.6, 200, seed)[0] < 0.1


def test_one_list_however_strange_moves_the_weights_by_a_bounded_factor() -> None:
    weights = TasteWeights(3)
    weights.add(np.array([-1e9, 0.0, -5.0]))
    assert weights.weights.max() / weights.weights.min() <= np.exp(LARGEST) * 1.01
    assert weights.weights.sum() == pytest.approx(1)


def test_a_mixture_of_one_is_that_posterior() -> None:
    part = SessionModel().priors(3)[-1]
    mixture = TasteMixture((part,), np.ones(1))
    x = rows(np.random.default_rng(0))
    assert np.array_equal(mixture.mean, part.mean)
    np.testing.assert_allclose(mixture.deviations(x), part.deviations(x))
    draws = [each.draws(np.random.default_rng(4), 9) for each in (part,)]
    assert mixture.draws(np.random.default_rng(4), 9).shape == draws[0].shape == (5, 9)
