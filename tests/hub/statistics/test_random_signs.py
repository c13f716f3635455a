"""Random signs, drawn when they are asked for, held to signs that are drawn at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.statistics.detectors import two_samples
from cloud_hub.statistics.detectors.rates import Occurrences, rise_p
from cloud_hub.statistics.detectors.two_samples import FIRST_ROUNDS, MANY, RandomSigns, p_value

Sizes = tuple[int, int, int]
sizes = st.tuples(st.integers(MANY, 60), st.integers(1, 900), st.integers(0, 2**40))


class AtOnce:
    """The same signs, all of them drawn in the beginning."""

    def __init__(self, devices: int, rounds: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        drawn = self.random.integers(0, 2, (max(rounds, FIRST_ROUNDS), devices), np.int8)
        self.table = (2 * drawn - 1).astype(np.float32)
        self.first = self.table[:FIRST_ROUNDS]

    def of(self, devices: Any) -> AtOnce:
        self.table, self.first = self.table[:, devices], self.first[:, devices]
        return self


@given(sizes)
@settings(deadline=None, max_examples=100)
def test_signs_and_the_chance_after_them_are_those_that_are_drawn_at_once(size: Sizes) -> None:
    ours, theirs = RandomSigns(*size), AtOnce(*size)
    assert np.array_equal(ours.first, theirs.first)
    assert np.array_equal(ours.table, theirs.table)
    # Single precision takes half a step of the generator, which may be left from the signs.
    for precision in (np.float32, np.float64):
        mine, other = (each.random.standard_normal(7, precision) for each in (ours, theirs))
        assert np.array_equal(mine, other)


@given(sizes, st.booleans())
@settings(deadline=None, max_examples=60)
def test_p_values_of_random_fleets_are_those_of_signs_that_are_drawn_at_once(
    size: Sizes, moved: bool
) -> None:
    random = np.random.default_rng(size)
    reference = random.integers(1, 200, 9).astype(np.float64)
    shares = np.roll(reference, moved) / reference.sum()
    features = [random.multinomial(40, shares, size[0]).astype(np.float64) for _ in range(3)]
    ours: Any = RandomSigns(*size)
    theirs: Any = AtOnce(*size)
    silent = random.random(size[0]) < 0.9
    for feature in (*features, features[0][silent]):
        if len(feature) < size[0]:
            ours, theirs = ours.of(silent), theirs.of(silent)
        assert p_value(reference, feature, ours) == p_value(reference, feature, theirs)
        seen = Occurrences(feature[:, 0], feature.sum(axis=1))
        rates = [rise_p((3, 100), seen, signs=signs) for signs in (ours, theirs)]
        assert rates[0] == rates[1]


def test_a_feature_that_looks_usual_draws_no_more_than_the_first_rounds() -> None:
    reference = np.array([50.0, 50.0, 0.0, 0.0])
    signs = RandomSigns(20, 4_000, 3)
    assert p_value(reference, np.tile([5.0, 5.0, 0.0, 0.0], (20, 1)), signs) == 1.0
    assert "table" not in vars(signs)
    assert p_value(reference, np.tile([1.0, 9.0, 0.0, 0.0], (20, 1)), signs) < 0.01
    assert len(vars(signs)["table"]) == 4_000


def test_signs_that_are_kept_for_the_next_model_cannot_be_changed_and_are_freed() -> None:
    signs = RandomSigns(20, 400, 4)
    assert RandomSigns(20, 400, 4).table is signs.table
    with pytest.raises(ValueError, match="read-only"):
        signs.table[0, 0] = 0
    two_samples.forget_signs()
    assert RandomSigns(20, 400, 4).table is not signs.table
