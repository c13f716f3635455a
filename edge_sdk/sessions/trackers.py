"""Trackers: what is remembered of one field of a session's events, and how it grows. Pure.

A tracker's state is ``None`` before its first event, else plain values (JSON keeps them exactly).
Times are Unix seconds, and never go back within a session: whoever calls sees to that.

Invariants:

* A state is of bounded size, whatever comes.
* The same values at the same times make the same state, to the bit: devices and trainings agree.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any, Final, NamedTuple

Update = Callable[[Any, Any, float], Any]
"""Returns the next state for a state, the field's value (``None`` for trackers of events), and the
time."""

PANES: Final = 60
"""Parts of a sliding window, which leave it one after the other."""

NUMBER_BYTES: Final = 40
"""Of a number and its place, as Python keeps them."""


class Tracker(NamedTuple):
    """One state of a session.

    Attributes:
        update: makes the next state.
        bytes: largest size, where it is the same for all; else that of an empty one.
        size: bytes of a state beyond that; ``None`` where nothing grows.
    """

    update: Update
    bytes: int
    size: Callable[[Any], int] | None = None


def counter() -> Tracker:
    """Track how many events came."""
    return Tracker(lambda state, value, at: 1 if state is None else state + 1, NUMBER_BYTES)


def adder() -> Tracker:
    """Track the sum of values."""
    return Tracker(lambda state, value, at: value if state is None else state + value, NUMBER_BYTES)


def smallest() -> Tracker:
    """Track the smallest value."""

    def update(state: Any, value: Any, at: float) -> Any:
        return value if state is None or value < state else state

    return Tracker(update, NUMBER_BYTES)


def largest() -> Tracker:
    """Track the largest value."""

    def update(state: Any, value: Any, at: float) -> Any:
        return value if state is None or value > state else state

    return Tracker(update, NUMBER_BYTES)


def first_time() -> Tracker:
    """Track when the first event came."""
    return Tracker(lambda state, value, at: at if state is None else state, NUMBER_BYTES)


def last_time() -> Tracker:
    """Track when the last event came."""
    return Tracker(lambda state, value, at: at, NUMBER_BYTES)


def averager() -> Tracker:
    """Track the mean of values by Welford's update: state [count, mean]."""

    def update(state: Any, value: Any, at: float) -> Any:
        if state is None:
            return [1, float(value)]
        state[0] += 1
        state[1] += (value - state[1]) / state[0]
        return state

    return Tracker(update, 3 * NUMBER_BYTES)


def decayed(half_life: float, *, values: bool) -> Tracker:
    """Track events, and ``values``, of which each has half its weight after ``half_life`` seconds.

    State [weight, sum, time], both of the last event's time. The decay is exact under any times:
    weights of several steps multiply to that of their sum.
    """

    def update(state: Any, value: Any, at: float) -> Any:
        if state is None:
            return [1.0, float(value) if values else 0.0, at]
        weight = 2.0 ** ((state[2] - at) / half_life)
        state[0] = state[0] * weight + 1.0
        if values:
            state[1] = state[1] * weight + value
        state[2] = at
        return state

    return Tracker(update, 5 * NUMBER_BYTES)


def newest(depth: int, *, texts: bool) -> Tracker:
    """Track the last ``depth`` values, newest first."""

    def update(state: Any, value: Any, at: float) -> Any:
        if state is None:
            return [value]
        state.insert(0, value)
        if len(state) > depth:
            state.pop()
        return state

    size = _size_of_texts if texts else None
    return Tracker(update, 64 + depth * (16 if texts else NUMBER_BYTES), size)


def different(most: int, *, texts: bool) -> Tracker:
    """Track the different values, up to ``most``: beyond them the count is no larger."""

    def update(state: Any, value: Any, at: float) -> Any:
        if state is None:
            return {value: None}
        if len(state) < most:
            state[value] = None
        return state

    def size(state: Any) -> int:
        return 100 * len(state) + (_size_of_texts(state) if texts else 0)

    return Tracker(update, 232, size)


def _size_of_texts(texts: Any) -> int:
    total = 0
    for text in texts:
        # One that is not Latin takes up to four bytes a character.
        total += 56 + (len(text) if text.isascii() else 4 * len(text))
    return total


def window(seconds: float, *, values: bool) -> Tracker:
    """Track a sliding window of ``seconds``, in :data:`PANES` parts.

    State [events, parts]: the parts that hold events, oldest first, each [number, events, sum,
    smallest, largest]; parts are numbered from 1970 on. So an event leaves the window when it is
    between 59/60 and 60/60 of its length old.
    """
    pane = seconds / PANES

    def update(state: Any, value: Any, at: float) -> Any:
        number = floor(at / pane)
        if state is None:
            state = [0, []]
        parts = state[1]
        while parts and parts[0][0] <= number - PANES:
            state[0] -= parts.pop(0)[1]
        if not parts or parts[-1][0] != number:
            parts.append([number, 0, 0, value, value])
        state[0] += 1
        last = parts[-1]
        last[1] += 1
        if values:
            last[2] += value
            last[3] = min(last[3], value)
            last[4] = max(last[4], value)
        return state

    return Tracker(update, 200, lambda state: (104 + 5 * NUMBER_BYTES) * len(state[1]))


def in_window(state: Any, seconds: float, now: float) -> Any:
    """Return the parts of a window's state that are in it at ``now``."""
    oldest, parts = floor(now / (seconds / PANES)) - PANES, state[1]
    # Most often all are: the state was cut when the last event came.
    return parts if parts[0][0] > oldest else [part for part in parts if part[0] > oldest]


def events_in_window(state: Any, seconds: float, now: float) -> int:
    """Return how many events a window's state has at ``now``."""
    oldest, count = floor(now / (seconds / PANES)) - PANES, state[0]
    for part in state[1]:
        if part[0] > oldest:
            break
        count -= part[1]
    return int(count)
