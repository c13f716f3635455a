"""Both tests of a guard hold their level at whatever label one looks, and find what is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sdk.personalise.guard import ServingGuard
from edge_sdk.personalise.personal_kind import guard_from_bytes, guard_to_bytes

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
        guard = ServingGuard(serving=False)
        for x in comparisons(rng, 0.5):
            guard.add(float(x), 0.02, 0.02)
            if guard.serving:
                given += 1
                break
    # Ville: at most 2%; three deviations of a binomial above it.
    assert given / UNITS <= 0.02 + 3 * (0.02 * 0.98 / UNITS) ** 0.5


def test_answers_that_are_better_are_given() -> None:
    rng = np.random.default_rng(2)
    guard = ServingGuard(serving=False)
    for x in comparisons(rng, 0.9):
        guard.add(float(x), 0.005, 0.05)
    assert guard.serving


def test_a_unit_that_becomes_better_late_is_still_given_its_answers() -> None:
    guard = ServingGuard(serving=False)
    for x in [-1.0] * 300 + [1.0] * 60:
        guard.add(x, 0.005, 0.05)
    assert guard.serving


def test_false_alarms_are_as_far_apart_as_the_level_says() -> None:
    rng = np.random.default_rng(3)
    lengths = []
    for _ in range(200):
        guard = ServingGuard(serving=True)
        count = 0
        for x in comparisons(rng, 0.5, differ=1.0):
            count += 1
            guard.add(float(x), 0.05, 0.05)
            if not guard.serving:
                break
        lengths.append(count)
    assert np.mean(lengths) >= 1 / 0.05


def test_answers_that_turn_worse_are_taken_back_within_ten_labels_that_differ() -> None:
    guard = ServingGuard(serving=True)
    for _ in range(500):
        guard.add(1.0, 0.05, 0.05)
    taken = 0
    while guard.serving:
        guard.add(-1.0, 0.05, 0.05)
        taken += 1
    assert taken <= 10


def test_labels_on_which_both_agree_say_nothing() -> None:
    guard = ServingGuard(serving=True)
    for _ in range(10_000):
        guard.add(0.0, 0.05, 0.05)
    assert guard == ServingGuard(serving=True)


@pytest.mark.parametrize("x", [1.0, -1.0, 1e-9])
def test_wealth_stays_finite_for_ever(x: float) -> None:
    guard = ServingGuard(serving=x < 0)
    for _ in range(5_000):
        guard.add(x, 1e-9, 1e-9)
    assert all(0 <= wealth <= 1e12 for wealth in (*guard.better, *guard.worse))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1.0"])
@pytest.mark.parametrize("place", range(4))
def test_a_guard_that_the_disk_has_damaged_begins_anew(number: str, place: int) -> None:
    wealth = ["0.5"] * 4
    wealth[place] = number
    raw = f"[1, false, [{wealth[0]}, {wealth[1]}], [{wealth[2]}, {wealth[3]}], 3]".encode()
    new = ServingGuard(serving=True)
    assert guard_from_bytes(raw, 1, new) is new


def test_a_guard_is_what_it_was_after_a_restart() -> None:
    guard = ServingGuard(serving=False, better=(0.5, 0.25), worse=(1.0, 2.0), pairs=3)
    assert guard_from_bytes(guard_to_bytes(guard, 7), 7, ServingGuard(serving=True)) == guard
