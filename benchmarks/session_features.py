"""Running features of a session on a device, beside a dict of counters as people write it by hand.

The dict does no checks, no decay, no bounds and no end of a session: what these cost is the
difference. The join is what a prediction by unit takes more than one of the same whole row.
"""

from __future__ import annotations

import math
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.contract.personal.session_features import RunningFeature, SessionFeatures
from edge_sdk.sessions.running_features import RunningFeatures
from edge_sdk.sessions.session_store import SessionStore

Tell = Callable[[str], None]
EVENT: Final = {"item": "a", "price": 3.0}
ROW: Final = {"basket": 0.5}
UNITS: Final = 1_000
EVENT_US: Final = Goal(17, "an event of a session with three features", 5.0, "µs")
JOIN_US: Final = Goal(17, "session features joined with a dict row", 3.0, "µs")
MEMORY_MB: Final = Goal(17, "10,000 sessions of three features, in memory", 16.0, "MB")

DECLARED: Final = SessionFeatures(
    "visit",
    1,
    (
        RunningFeature("clicks", "int64", kind="count"),
        RunningFeature("usual", "float32", kind="mean", field="price", half_life_seconds=600.0),
        RunningFeature("item", "string", kind="last", field="item"),
    ),
    {"item": "string", "price": "float64"},
)


def measure(effort: Effort, tell: Tell) -> Findings:
    """Measure events, joins and memory of sessions."""
    calls, rounds = (2_000, 60) if effort is FULL else (500, 5)
    tell(f"{rounds} rounds of {calls:,} events")
    store, by_hand = SessionStore(DECLARED, time.time), _by_hand()
    units = [f"user {i}" for i in range(UNITS)]
    readers = store.rules.readers_of({"clicks", "usual", "item"})

    def join(unit: str) -> Any:
        row, _ = store.values(unit, readers)
        row.update(ROW)
        return row

    event = _best(lambda unit: store.event(unit, EVENT), units, calls, rounds)
    hand = _best(by_hand, units, calls, rounds)
    joined = _best(join, units, calls, rounds)
    plain = _best(lambda unit: dict(ROW), units, calls, rounds)
    return Findings(
        (),
        (
            GoalRow.of(EVENT_US, event),
            GoalRow.of(JOIN_US, joined - plain),
            GoalRow.of(MEMORY_MB, _megabytes(10_000)),
        ),
        {
            "an event in a dict of counters by hand, µs": round(hand, 2),
            "an event replayed for a training, µs": round(
                _best(_replay(), units, calls, rounds), 2
            ),
        },
    )


def _best(call: Callable[[str], Any], units: list[str], calls: int, rounds: int) -> float:
    """Return the microseconds of a call in the best of many short rounds, over all units in turn.

    The best, since a round is so short that any other program's turn is several times as long.
    """
    best = math.inf
    for _ in range(rounds):
        began = time.perf_counter()
        for i in range(calls):
            call(units[i % UNITS])
        best = min(best, (time.perf_counter() - began) / calls * 1e6)
    return best


def _by_hand() -> Callable[[str], None]:
    states: dict[str, dict[str, Any]] = {}

    def event(unit: str) -> None:
        state = states.get(unit)
        if state is None:
            state = states[unit] = {"clicks": 0, "sum": 0.0, "items": deque(maxlen=1), "at": 0.0}
        state["clicks"] += 1
        state["sum"] += EVENT["price"]
        state["items"].append(EVENT["item"])
        state["at"] = time.time()

    return event


def _replay() -> Callable[[str], None]:
    rules = RunningFeatures(DECLARED)
    state = rules.begin(0.0)

    def event(unit: str) -> None:
        rules.update(state, rules.checked(EVENT), 1.0)

    return event


def _megabytes(sessions: int) -> float:
    """Return the memory that sessions take, as Python itself counts it."""
    tracemalloc.start()
    try:
        store = SessionStore(DECLARED, time.time)
        for i in range(sessions):
            store.event(f"user {i}", EVENT)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return used / 1e6
