"""A memory is dropped when another one is better for long, and never for a few sure mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sdk.contract.personal.settings import PersonalSettings
from edge_sdk.personalise.beginning_anew import LEVEL, begin_anew
from edge_sdk.personalise.guard import ServingGuard
from edge_sdk.personalise.unit_state import UnitState

SETTINGS = PersonalSettings()
SURE_AND_WRONG = (0.9, 5.3, 0.7)
"""Losses of release, slow and fast memory where the slow one gave the label no chance at all."""


def unit() -> UnitState:
    """A unit whose slow memory holds 1 and its fast one 2."""
    sums = np.stack([np.full((3, 4), 1.0), np.full((3, 4), 2.0)]).astype(np.float32)
    return UnitState(sums, SETTINGS.start, ServingGuard(serving=True), SETTINGS.noise)


def test_a_few_sure_mistakes_do_not_drop_what_a_unit_taught() -> None:
    state = unit()
    for mistake in (True, False, False, True, True, False, False, False) * 20:
        losses = SURE_AND_WRONG if mistake else (0.9, 0.2, 0.9)
        begin_anew(state, losses, 0.0, SETTINGS)
    assert (state.sums[0] == 1.0).all()
    assert (state.sums[1] == 2.0).all()


def test_a_row_of_labels_on_which_the_fast_memory_is_better_gives_its_place_to_it() -> None:
    state, labels = unit(), 0
    while (state.sums[0] == 1.0).all():
        begin_anew(state, SURE_AND_WRONG, 0.0, SETTINGS)
        labels += 1
    assert labels == LEVEL + 1
    assert (state.sums[0] == 2.0).all()


def test_a_fast_memory_that_is_worse_than_the_release_is_emptied() -> None:
    state = unit()
    for _ in range(int(LEVEL) + 1):
        begin_anew(state, (0.2, 0.2, 3.0), 0.0, SETTINGS)
    assert (state.sums[0] == 1.0).all()
    assert not state.sums[1].any()


@pytest.mark.parametrize("strange", [2.0, 0.5])
def test_rows_of_somebody_else_empty_both_memories(strange: float) -> None:
    state = unit()
    for _ in range(int(SETTINGS.change / strange) + 1):
        begin_anew(state, (0.5, 0.5, 0.5), strange, SETTINGS)
    assert not state.sums.any()
    assert state.weights == SETTINGS.start
