"""The update's states: every order of success, failure and crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.errors import ContractError
from edge_sdk.update.state import (
    ORDER,
    STARTS,
    SlotRef,
    UpdateState,
    abandon,
    advance,
    begin,
    gave_up,
    recover,
    revert,
)

OLD = SlotRef("1.0", "a" * 64)
NEW = SlotRef("1.1", "b" * 64, "c" * 64)
SERVING = UpdateState(current=OLD, previous=None)


def test_an_update_goes_through_every_step_in_order_and_keeps_the_previous_slot() -> None:
    state, seen = begin(SERVING, NEW, 3), []
    while state.phase != "idle":
        seen.append(state.phase)
        state = advance(state)
    assert tuple(seen) == ORDER[:-1]
    assert (state.current, state.previous, state.target, state.serial) == (NEW, OLD, None, 3)


@pytest.mark.parametrize("steps", range(len(ORDER) - 1))
def test_a_failure_at_any_step_leaves_the_old_slot_current(steps: int) -> None:
    state = begin(SERVING, NEW, 3)
    for _ in range(steps):
        state = advance(state)
    after = abandon(state)
    assert (after.phase, after.current) == ("idle", OLD)


@given(st.lists(st.sampled_from(["ok", "fail", "crash"]), max_size=40))
def test_whatever_happens_something_whole_is_current_and_before_activation_it_is_the_old_one(
    happenings: list[str],
) -> None:
    state = begin(SERVING, NEW, 1)
    for happening in happenings:
        if state.phase == "idle":
            break
        before = state.phase
        if happening == "ok":
            state = advance(state)
        elif happening == "fail":
            state = abandon(state)
        else:
            state = recover(state)
        assert state.current in (OLD, NEW)
        if before in ("download", "verify", "stage") and state.phase != "activate":
            assert state.current == OLD


def test_a_release_that_never_gets_to_commit_is_given_up_after_a_few_starts() -> None:
    state = begin(SERVING, NEW, 1)
    while state.phase != "activate":
        state = advance(state)
    for _ in range(STARTS):
        state = recover(state)
        assert not gave_up(state)
    assert gave_up(recover(state))
    assert abandon(state).current == OLD


def test_a_slot_that_turns_bad_in_service_gives_way_to_the_previous_one() -> None:
    assert revert(UpdateState(current=NEW, previous=OLD)).current == OLD
    with pytest.raises(ContractError, match="no previous release"):
        revert(SERVING)


def test_an_update_cannot_begin_inside_another() -> None:
    with pytest.raises(ContractError, match="expected phase idle"):
        begin(begin(SERVING, NEW, 1), NEW, 2)
