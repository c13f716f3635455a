"""Noise on sums over units: as little as (ε, δ) needs, and never more ε than stated."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.personal.report import DELTA
from edge_sdk.personalise.sums.noise import (
    GRID,
    TOTAL_EPSILON,
    affordable,
    delta_of,
    multiplier_of,
    on_grid,
    with_noise,
)


def measured_delta(epsilon: float, sigma: float) -> float:
    """δ by its definition: what N(1, σ²) has more than e^ε times N(0, σ²), added up."""
    x = np.linspace(-40 * sigma, 40 * sigma + 1, 2_000_001)
    near, far = np.exp(-((x - 1) ** 2) / (2 * sigma**2)), np.exp(-(x**2) / (2 * sigma**2))
    more = np.maximum(near - math.exp(epsilon) * far, 0.0) / (sigma * math.sqrt(2 * math.pi))
    return float(more.sum() * (x[1] - x[0]))


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0, 2.0])
def test_the_noise_is_the_least_that_gives_epsilon_and_delta(epsilon: float) -> None:
    sigma = multiplier_of(epsilon, DELTA)
    assert measured_delta(epsilon, sigma) == pytest.approx(DELTA, rel=1e-3)
    assert measured_delta(epsilon, 0.99 * sigma) > DELTA
    classical = math.sqrt(2 * math.log(1.25 / DELTA)) / epsilon
    assert sigma < classical


@given(st.floats(0.01, 8.0), st.floats(1e-9, 0.1))
def test_any_epsilon_and_delta_get_a_finite_noise_that_suffices(
    epsilon: float, delta: float
) -> None:
    sigma = multiplier_of(epsilon, delta)
    assert 0 < sigma < math.inf
    assert delta_of(epsilon, 1 / sigma) <= delta * (1 + 1e-9)


@pytest.mark.parametrize(("epsilon", "reports"), [(2.0, 11), (1.0, 41)])
def test_reports_end_before_all_of_them_exceed_the_total(epsilon: float, reports: int) -> None:
    sigma, spent, count = multiplier_of(epsilon, DELTA), 0.0, 0
    while affordable(spent, sigma, DELTA):
        spent, count = spent + sigma**-2, count + 1
    assert count == reports
    # All of them together are one Gaussian mechanism, by the definition again.
    assert measured_delta(TOTAL_EPSILON, 1 / math.sqrt(spent)) <= DELTA * 1.001
    more = spent + sigma**-2
    assert measured_delta(TOTAL_EPSILON, 1 / math.sqrt(more)) > DELTA


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_grid_takes_no_number_farther_from_zero(numbers: list[float]) -> None:
    deviations = np.full(len(numbers), 3.0)
    kept = on_grid(np.array(numbers), deviations) * deviations * GRID
    assert (np.abs(kept) <= np.abs(numbers)).all()
    assert np.abs(kept - numbers).max() <= 3.0 * GRID


def test_noise_has_its_deviation_and_no_bits_below_the_grid() -> None:
    deviations = np.repeat([2.0, 0.25], 20_000)
    noise = with_noise(np.zeros(40_000), deviations, random.Random(5).gauss)
    assert noise[:20_000].std() == pytest.approx(2.0, rel=0.03)
    assert noise[20_000:].std() == pytest.approx(0.25, rel=0.03)
    assert abs(noise[:20_000].mean()) < 0.06
    assert (noise / (deviations * GRID) == np.rint(noise / (deviations * GRID))).all()


def test_nobody_can_repeat_the_noise_of_a_device() -> None:
    random.seed(1)
    first = with_noise(np.zeros(8), np.ones(8))
    random.seed(1)
    assert (first != with_noise(np.zeros(8), np.ones(8))).any()
