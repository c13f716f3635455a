"""Running features against what they are defined as, over random events and clocks."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_sdk.contract.personal.session_features import RunningFeature
from edge_sdk.sessions.event_fields import LARGEST_FLOAT32
from edge_sdk.sessions.running_features import LogMark, RunningFeatures, replay
from edge_sdk.sessions.trackers import PANES
from tests.edge.sessions.declared import EVENTS, EVERY_KIND, GAPS, IDLE, MOMENTS, feature, of

Told = list[tuple[float, dict[str, Any]]]

RULES = RunningFeatures(EVERY_KIND)


def after(told: Told, rules: RunningFeatures = RULES) -> Any:
    state = rules.begin(told[0][0])
    for at, event in told:
        rules.update(state, rules.checked(event), at)
    return state


def seen(told: Told) -> Told:
    """Events of the session that is the last, with the times at which they count."""
    session: Told = []
    for at, event in told:
        if session and not -IDLE <= at - session[-1][0] <= IDLE:
            session = []
        session.append((max(at, session[-1][0]) if session else at, event))
    return session


def matches(event: dict[str, Any], of: RunningFeature) -> bool:
    has = of.field is None or event.get(of.field) is not None
    return has and all(event.get(name) == value for name, value in of.where.items())


def defined(of: RunningFeature, told: Told, now: float) -> Any:
    """The value by definition, from all events at once; ``None`` for the default."""
    session = [(at, e) for at, e in seen(told) if matches(e, of)]
    now = max(now, seen(told)[-1][0])
    every = len(session)
    if of.window_seconds is not None:
        pane = of.window_seconds / PANES
        oldest = math.floor(now / pane) - PANES
        session = [(at, e) for at, e in session if math.floor(at / pane) > oldest]
    if not every or (not session and of.kind not in ("count", "sum")):
        return None
    values = [event[of.field] for _, event in session] if of.field else []
    weights = [1.0] * len(session)
    if of.half_life_seconds is not None:
        weights = [0.5 ** ((now - at) / of.half_life_seconds) for at, _ in session]
    match of.kind:
        case "count":
            return sum(weights)
        case "sum":
            return math.fsum(w * v for w, v in zip(weights, values, strict=True))
        case "mean":
            # Relative to the newest, whose weight is no underflow.
            newest = session[-1][0]
            if of.half_life_seconds is not None:
                weights = [0.5 ** ((newest - at) / of.half_life_seconds) for at, _ in session]
            total = math.fsum(w * v for w, v in zip(weights, values, strict=True))
            return total / math.fsum(weights)
        case "minimum":
            return min(values)
        case "maximum":
            return max(values)
        case "last":
            return values[-of.nth] if len(values) >= of.nth else None
        case "distinct":
            return min(len(set(values)), of.most)
        case "since":
            return now - session[-1][0]
        case "age":
            return now - session[0][0]
    raise AssertionError(of.kind)


def held(of: RunningFeature, value: Any) -> Any:
    """A value within what the dtype holds."""
    limits = {"int8": 127, "int16": 32_767, "float32": LARGEST_FLOAT32}
    if of.dtype not in limits:
        return value
    most = limits[of.dtype]
    return min(max(value, -most - (of.dtype != "float32")), most)


@settings(max_examples=150)
@given(MOMENTS, st.lists(st.tuples(GAPS, EVENTS), min_size=1, max_size=40), GAPS)
def test_each_kind_is_what_it_is_defined_as_under_any_times(
    start: float, gaps: list[tuple[float, dict[str, Any]]], wait: float
) -> None:
    told: Told = []
    at = start
    for gap, event in gaps:
        at = max(0.0, at + gap)
        told.append((at, event))
    now = max(0.0, at + wait)
    values = RULES.values(after(told), now)
    last = seen(told)[-1][0]
    for each in EVERY_KIND.features:
        expected = defined(each, told, now) if -IDLE <= now - last <= IDLE else None
        expected = each.filler if expected is None else held(each, expected)
        if isinstance(expected, float):
            assert values[each.name] == pytest.approx(expected, rel=1e-9, abs=1e-6), each.name
        else:
            assert values[each.name] == expected, each.name


@settings(max_examples=100)
@given(MOMENTS, st.lists(st.tuples(GAPS, EVENTS), min_size=1, max_size=30), st.integers(0, 30))
def test_a_session_that_was_stored_in_between_goes_on_to_the_bit(
    start: float, gaps: list[tuple[float, dict[str, Any]]], cut: int
) -> None:
    at, whole = start, RULES.begin(start)
    stored = RULES.begin(start)
    for i, (gap, event) in enumerate(gaps):
        at = max(0.0, at + gap)
        for state in (whole, stored):
            RULES.update(state, RULES.checked(event), at)
        if i == cut:
            stored = RULES.load(RULES.dump(stored))
    assert RULES.values(whole, at) == RULES.values(stored, at)
    assert (whole.bytes, whole.last) == (stored.bytes, stored.last)
    assert RULES.dump(whole) == RULES.dump(stored)


@given(st.lists(st.floats(1e-3, 500.0), min_size=1, max_size=60))
@example([0.1] * 60)
def test_a_decay_over_many_steps_is_that_over_one(steps: list[float]) -> None:
    rules = RunningFeatures(
        of(feature("f", "float64", "sum", field="price", half_life_seconds=50.0))
    )
    state = rules.begin(0.0)
    at = 0.0
    rules.update(state, {"price": 1.0}, at)
    for step in steps:
        at += step
        rules.update(state, {"price": 0.0}, at)
    assert rules.values(state, at)["f"] == pytest.approx(0.5 ** (at / 50.0), rel=1e-12)


def test_a_window_drops_an_event_between_59_60ths_and_its_whole_length() -> None:
    rules = RunningFeatures(of(feature("n", "int64", "count", window_seconds=60.0)))
    state = rules.begin(1_000.5)
    rules.update(state, {}, 1_000.5)
    assert rules.values(state, 1_059.4)["n"] == 1
    assert rules.values(state, 1_060.6)["n"] == 0


@pytest.mark.parametrize(
    ("what", "now", "since"),
    [
        ("a little back counts as of the last event", 999_990.0, 0.0),
        ("a little ahead is a pause", 1_000_010.0, 10.0),
        ("as far back as a session may be idle", 1_000_000.0 - IDLE, 0.0),
        ("further back: the clock was set, and the session is another one", 0.0, -1.0),
        ("the year 2100", 4_102_444_800.0, -1.0),
    ],
)
def test_a_clock_that_jumps_is_a_pause_or_another_session(
    what: str, now: float, since: float
) -> None:
    state = after([(1_000_000.0, {"price": 1.0})])
    values = RULES.values(state, now)
    assert values["since"] == since, what
    assert values["clicks"] == (0 if since < 0 else 1)
    RULES.update(state, {"price": 1.0}, now)
    assert RULES.values(state, now)["clicks"] == (1 if since < 0 else 2), what


def test_values_are_held_within_their_dtype() -> None:
    rules = RunningFeatures(
        of(
            feature("n", "int8", "count"),
            feature("sum", "int16", "sum", field="places"),
            feature("big", "float32", "sum", field="price"),
            feature("low", "float32", "minimum", field="price"),
        )
    )
    state = rules.begin(0.0)
    for _ in range(400):
        rules.update(state, rules.checked({"places": 32_767, "price": -1e50}), 0.0)
    assert rules.values(state, 0.0) == {
        "n": 127, "sum": 32_767, "big": -LARGEST_FLOAT32, "low": -LARGEST_FLOAT32
    }  # fmt: skip


def test_a_state_is_no_larger_after_a_million_events_than_after_some() -> None:
    rules, at = RunningFeatures(EVERY_KIND), 0.0
    state = rules.begin(at)
    largest = []
    for i in range(20_000):
        at += 0.3
        rules.update(state, {"item": f"item {i}", "price": 1.0, "places": 1, "paid": True}, at)
        largest.append(state.bytes)
    assert max(largest[1_000:]) == max(largest[-1_000:])
    assert len(rules.dump(state)) < 10_000


def test_a_replay_gives_what_was_asked_and_ends_where_the_application_ended() -> None:
    log: list[Any] = [
        (0.0, LogMark.ASK),
        (1.0, {"price": 2.0}),
        (3.0, LogMark.ASK),
        (4.0, LogMark.END),
        (5.0, LogMark.ASK),
        (6.0, {"price": 5.0}),
        (6.0, LogMark.ASK),
    ]
    rows = list(replay(RULES, log))
    assert [row["spent"] for row, _ in rows] == [0, 2.0, 0, 5.0]
    assert [lives for _, lives in rows] == [False, True, False, True]
    assert rows[1][0]["since"] == 2.0


def test_features_of_the_same_terms_share_one_state() -> None:
    same = of(
        *(feature(f"item_{i}", "string", "last", field="item", nth=i) for i in (1, 2, 3)),
        feature("n", "float64", "count", half_life_seconds=9.0, field="price"),
        feature("mean", "float64", "mean", half_life_seconds=9.0, field="price"),
    )
    assert len(RunningFeatures(same).begin(0.0).states) == 2
    for text in ("[]", "{}", "null", "[1]", '["x", []]', '[1, ["a"]]'):
        with pytest.raises((ValueError, TypeError)):
            RunningFeatures(same).load(text)
