"""Both tests of a guard hold their level at whatever label one looks, and find what is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sdk.personalise.guard import Guard

LABELS = 400
UNITS = 1_500


def comparisons(
    rng: np.random.Generator, right: float, *, differ: float = 0.5
) -> NDArray[np.float64]:
    """One unit's: of labels on which both answers differ the own one has a share ``right``."""
    signs = np.where(rng.random(LABELS) < right, 1.0, -1.0)
    return signs * (rng.random(LABELS) < differ)


def test_answers_that_are_no_better_are_given_to_few_units_however_long_one_looks() -> None:
    rng = np.random.default_rng(1)
    given = 0
    for _ in range(UNITS):
        guard = Guard(serving=False)
        for x in comparisons(rng, 0.5):
            guard.add(float(x), 0.02, 0.02)
            if guard.serving:
                given += 1
                break
    # Ville: at most 2%; three deviations of a binomial above it.
    assert given / UNITS <= 0.02 + 3 * (0.02 * 0.98 / UNITS) ** 0.5


def test_answers_that_are_better_are_given() -> None:
    rng = np.random.default_rng(2)
    guard = Guard(serving=False)
    for x in comparisons(rng, 0.9):
        guard.add(float(x), 0.005, 0.05)
    assert guard.serving


def test_a_unit_that_becomes_better_late_is_still_given_its_answers() -> None:
    guard = Guard(serving=False)
    for x in [-1.0] * 300 + [1.0] * 60:
        guard.add(x, 0.005, 0.05)
    assert guard.serving


def test_false_alarms_are_as_far_apart_as_the_level_says() -> None:
    rng = np.random.default_rng(3)
    lengths = []
    for _ in range(200):
        guard = Guard(serving=True)
        count = 0
        for x in comparisons(rng, 0.5, differ=1.0):
            count += 1
            guard.add(float(x), 0.05, 0.05)
            if not guard.serving:
                break
        lengths.append(count)
    assert np.mean(lengths) >= 1 / 0.05


def test_answers_that_turn_worse_are_taken_back_within_ten_labels_that_differ() -> None:
    guard = Guard(serving=True)
    for _ in range(500):
        guard.add(1.0, 0.05, 0.05)
    taken = 0
    while guard.serving:
        guard.add(-1.0, 0.05, 0.05)
        taken += 1
    assert taken <= 10


def test_labels_on_which_both_agree_say_nothing() -> None:
    guard = Guard(serving=True)
    for _ in range(10_000):
        guard.add(0.0, 0.05, 0.05)
    assert guard == Guard(serving=True)


@pytest.mark.parametrize("x", [1.0, -1.0, 1e-9])
def test_wealth_stays_finite_for_ever(x: float) -> None:
    guard = Guard(serving=x < 0)
    for _ in range(5_000):
        guard.add(x, 1e-9, 1e-9)
    assert all(0 <= wealth <= 1e12 for wealth in (*guard.better, *guard.worse))
