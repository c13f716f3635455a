"""The update's states: every order of success, failure and crash."""

from __future__ import annotations

from dataclasses import replace

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
    confirm,
    drop,
    gave_up,
    keep,
    recover,
    revert,
    try_out,
)

OLD = SlotRef("1.0", "a" * 64)
NEW = SlotRef("1.1", "b" * 64, "c" * 64)
THIRD = SlotRef("1.2", "d" * 64)
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


def held(state: UpdateState, slot: SlotRef) -> UpdateState:
    state = begin(state, slot, 1, "exp", serve=False)
    while state.phase != "idle":
        assert state.phase != "activate"
        state = advance(state)
    return state


def activated(state: UpdateState, slot: SlotRef) -> UpdateState:
    state = begin(state, slot, 1, "exp")
    while state.phase != "idle":
        state = advance(state)
    return state


def test_a_release_that_is_only_held_touches_nothing_that_serves() -> None:
    state = held(SERVING, NEW)
    assert (state.current, state.previous, state.held) == (OLD, None, (NEW,))
    assert state.trial is None
    assert held(state, THIRD).here == (OLD, NEW, THIRD)


@pytest.mark.parametrize("steps", range(len(ORDER) - 2))
def test_a_held_release_that_fails_at_any_step_is_gone_and_the_rest_stays(steps: int) -> None:
    state = begin(held(SERVING, THIRD), NEW, 3, "exp", serve=False)
    for _ in range(steps):
        state = advance(state)
    after = abandon(state)
    assert (after.phase, after.current, after.held, after.target) == ("idle", OLD, (THIRD,), None)


def test_a_candidate_that_fails_gives_way_to_what_the_plan_serves_and_not_to_what_was_before() -> (
    None
):
    """The device was behind: 1.0 served, the plan serves 1.1 and tries 1.2 here."""
    state = keep(SERVING, (NEW, THIRD), 4, home=NEW, tried="exp")
    state = activated(held(state, NEW), THIRD)
    assert (state.current, state.previous, state.entered) == (THIRD, OLD, "exp")
    after = revert(state)
    assert (after.current, after.entered, after.here) == (NEW, None, (NEW,))


def test_what_serves_is_kept_through_any_number_of_new_packs_of_the_candidate() -> None:
    state = activated(keep(SERVING, (OLD, NEW), 4, home=OLD, tried="exp"), NEW)
    for pack in "123":
        other = SlotRef("1.1", "b" * 64, pack * 64)
        state = activated(keep(state, (OLD, other), 4, home=OLD, tried="exp"), other)
        assert OLD in state.here
    assert revert(state).current == OLD


def test_when_the_plan_wants_less_only_current_and_previous_stay() -> None:
    state = held(activated(SERVING, NEW), THIRD)
    assert keep(state, (NEW,), 5).here == (NEW, OLD)
    assert keep(state, (NEW, THIRD), 5).here == (NEW, OLD, THIRD)
    assert drop(state, THIRD).here == (NEW, OLD)


def test_only_a_release_that_has_not_answered_is_condemned_by_starts_that_end_early() -> None:
    waits = held(held(SERVING, NEW), THIRD)
    for _ in range(9):
        waits = recover(waits)
        assert not gave_up(waits)  # it is held and does not run
    state = try_out(waits, [NEW, THIRD])
    for _ in range(STARTS):
        state = try_out(recover(state), [NEW, THIRD])
        assert not gave_up(state)
    assert gave_up(recover(state))
    assert drop(state, NEW).trial is None
    proven = confirm(state)
    assert try_out(proven, [NEW]) == proven
    assert try_out(proven, [NEW, THIRD]).trial == THIRD
    for _ in range(9):
        proven = recover(proven)
        assert not gave_up(proven)


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            ["hold", "serve", "ok", "fail", "crash", "revert", "less", "try", "confirm"]
        ),
        st.sampled_from([OLD, NEW, THIRD]),
    ),
    max_size=60,
)


@given(HAPPENINGS)
def test_whatever_happens_with_several_releases_something_serves_and_is_kept(
    happenings: list[tuple[str, SlotRef]],
) -> None:
    state = SERVING
    for what, slot in happenings:
        idle = state.phase == "idle"
        if what in ("hold", "serve") and idle and slot != state.current:
            state = begin(state, slot, 1, "exp", serve=what == "serve")
        elif what == "ok" and not idle:
            state = advance(state)
        elif what == "fail" and not idle:
            state = abandon(state)
        elif what == "crash":
            state = recover(state)
        elif what == "revert" and idle and state.back is not None:
            state = revert(state)
        elif what == "less" and idle:
            state = keep(state, (slot,), 2)
        elif what == "try" and idle:
            state = try_out(state, state.held)
        elif what == "confirm" and idle:
            state = confirm(state)
        assert state.current is not None
        assert state.current in state.here
        assert state.back is None or state.back in state.here
        assert state.back != state.current or state.previous == state.current
        assert state.trial is None or state.trial in (*state.here, state.target)


def test_a_probe_that_ends_the_process_is_tried_once_more_and_then_given_up() -> None:
    probing = replace(begin(UpdateState(current=OLD), NEW, 3), phase="probe")
    once = recover(probing)
    assert (once.phase, once.target, once.crashed) == ("idle", None, NEW)
    assert not gave_up(once)
    again = recover(replace(begin(once, NEW, 3), phase="probe"))
    assert (again.phase, gave_up(again)) == ("probe", True)
    assert abandon(again).current == OLD
    probed = advance(replace(begin(once, NEW, 3), phase="probe"))
    assert probed.crashed is None
    other = recover(replace(begin(once, OLD, 3), phase="probe"))
    assert not gave_up(other)
