"""Running features: from the events of one unit to the values of columns. Pure: no clock, no I/O.

Devices update sessions with this code, and trainings replay logs with it, so that a model is
trained on what it is served.

Times within a session never go back. A clock that does is followed only where it has been set:

* An event or a question that is earlier than the last event, by no more than the session may be
  idle, counts as of the last event.
* One that is earlier or later by more than that begins another session: what lies between is a
  pause, or a clock that was wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import Enum
from math import fsum
from typing import Any, Final, NamedTuple

from edge_sdk.contract.dtypes import RANGES, range_of
from edge_sdk.contract.personal.session_features import RunningFeature, SessionFeatures
from edge_sdk.errors import InputError
from edge_sdk.sessions import trackers
from edge_sdk.sessions.event_fields import LARGEST_FLOAT32, checks_of
from edge_sdk.sessions.trackers import Tracker, Update

Event = Mapping[str, Any]
"""Checked fields of an event by name, without those that are missing."""

SESSION_BYTES: Final = 420
"""Of a session without features: its name's object, its place in the store, and itself."""

IGNORED: Final = 20
"""Names of fields that are none which are remembered, to tell of them."""


class RunningState:
    """What is remembered of one session.

    Attributes:
        last: time of the last event, Unix seconds.
        states: one for each tracker.
        bytes: estimated size.
    """

    __slots__ = ("bytes", "last", "states")

    def __init__(self, last: float, states: list[Any], size: int) -> None:
        self.last = last
        self.states = states
        self.bytes = size


class _Step(NamedTuple):
    """One tracker's part in an event."""

    slot: int
    field: str | None
    where: tuple[tuple[str, Any], ...]
    update: Update


class FeatureReader(NamedTuple):
    """One feature: its tracker's place, its value before the first event, and how it is read."""

    name: str
    slot: int
    default: Any
    read: Callable[[Any, float], Any]


class RunningFeatures:
    """The rules of declared features. Safe from any number of threads; states are not.

    Args:
        declared: of the plan.

    Attributes:
        declared: the same.
        readers: one for each feature.
        ignored: fields of events that are not declared, and were left out.
    """

    def __init__(self, declared: SessionFeatures) -> None:
        self.declared = declared
        self.ignored: tuple[str, ...] = ()
        self._idle = declared.idle_seconds
        self._checks = checks_of(declared.fields)
        slots: dict[Any, int] = {}
        found: list[Tracker] = []
        steps: list[_Step] = []
        readers = []
        for feature in declared.features:
            where = tuple(sorted(feature.where.items()))
            key = (*_kind_of_tracker(feature), feature.field, where)
            if key not in slots:
                slots[key] = len(found)
                found.append(_tracker_of(feature, declared))
                steps.append(_Step(slots[key], feature.field, where, found[-1].update))
            of = declared.fields.get(feature.field or "", "")
            readers.append(
                FeatureReader(feature.name, slots[key], feature.filler, _read_of(feature, of))
            )
        self.readers = tuple(readers)
        self._steps = tuple(steps)
        self._takes_all = any(not step.field and not step.where for step in steps)
        self._sets = tuple(i for key, i in slots.items() if key[0] == "distinct")
        self._fixed = SESSION_BYTES + sum(tracker.bytes for tracker in found)
        self._growing = tuple((i, t.size) for i, t in enumerate(found) if t.size is not None)

    def readers_of(self, columns: Collection[str]) -> tuple[FeatureReader, ...]:
        """Return the readers of those features that are among ``columns``."""
        return tuple(reader for reader in self.readers if reader.name in columns)

    def checked(self, event: Any) -> Event:
        """Return the declared fields of an event, as plain values.

        Raises:
            InputError: a field is not as declared; or none is known, and no feature sees an event
                without.
        """
        if not isinstance(event, Mapping):
            kind = type(event).__name__
            raise InputError("event", f"event: expected its fields by name, got {kind}")
        checks, known = self._checks, {}
        for name, value in event.items():
            check = checks.get(name)
            if check is None:
                self._ignore(f"{name!s:.60}")
            elif value is not None:
                known[name] = check(value)
        if not known and not self._takes_all:
            raise InputError(
                "event", f"event: expected some of {sorted(checks)}, got {list(event)!r:.120}"
            )
        return known

    def _ignore(self, name: str) -> None:
        if name not in self.ignored and len(self.ignored) < IGNORED:
            self.ignored = (*self.ignored, name)

    def begin(self, at: float) -> RunningState:
        """Return a session that begins at ``at`` (Unix seconds), without an event yet."""
        return RunningState(at, [None] * len(self._steps), self._fixed)

    def update(self, state: RunningState, event: Event, at: float) -> None:
        """Take an event into a session.

        Args:
            state: of the session; updated in place.
            event: as :meth:`checked` returns it.
            at: when it was, Unix seconds.
        """
        states, gap = state.states, at - state.last
        if gap < 0.0:
            if gap >= -self._idle:
                at = state.last
            else:
                states[:] = [None] * len(states)
        elif gap > self._idle:
            states[:] = [None] * len(states)
        state.last = at
        for slot, field, where, update in self._steps:
            if where and any(event.get(name) != value for name, value in where):
                continue
            if field is None:
                states[slot] = update(states[slot], None, at)
            elif (value := event.get(field)) is not None:
                states[slot] = update(states[slot], value, at)
        if self._growing:
            state.bytes = self._bytes_of(states)

    def _bytes_of(self, states: list[Any]) -> int:
        total = self._fixed
        for slot, size in self._growing:
            if states[slot] is not None:
                total += size(states[slot])
        return total

    def is_over(self, state: RunningState, now: float) -> bool:
        """Return whether a session has ended by ``now`` (Unix seconds)."""
        return not -self._idle <= now - state.last <= self._idle

    def values(
        self,
        state: RunningState | None,
        now: float,
        readers: tuple[FeatureReader, ...] | None = None,
    ) -> dict[str, Any]:
        """Return features by name.

        Args:
            state: of the session; ``None`` for none, which has the defaults.
            now: the moment, Unix seconds.
            readers: of which features; default all.
        """
        wanted = self.readers if readers is None else readers
        if state is None or not -self._idle <= now - state.last <= self._idle:
            return {name: default for name, _, default, _ in wanted}
        if now < state.last:
            now = state.last
        states, row = state.states, {}
        for name, slot, default, read in wanted:
            tracked = states[slot]
            value = None if tracked is None else read(tracked, now)
            row[name] = default if value is None else value
        return row

    def dump(self, state: RunningState) -> str:
        """Return a session as JSON, from which :meth:`load` makes the same one."""
        states = [list(s) if isinstance(s, dict) else s for s in state.states]
        return json.dumps([state.last, states], separators=(",", ":"))

    def load(self, text: str) -> RunningState:
        """Return the session that :meth:`dump` wrote; raises ValueError for anything else."""
        last, states = json.loads(text)
        if not isinstance(last, float | int) or len(states) != len(self._steps):
            raise ValueError("expected a session of these features")
        for i in self._sets:
            states[i] = None if states[i] is None else dict.fromkeys(states[i])
        return RunningState(float(last), states, self._bytes_of(states))


class LogMark(Enum):
    """An entry of a log that is no event."""

    ASK = "ask"
    """The features were asked for: a prediction was made."""

    END = "end"
    """The application ended the session."""


def replay(
    rules: RunningFeatures, log: Iterable[tuple[float, Mapping[str, Any] | LogMark]]
) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield what one unit's device joined whenever it was asked.

    It is the device's own code, so the values are the same ones to the bit, as far as the C
    libraries of both machines agree on powers of two (decays).

    Args:
        rules: of the declared features.
        log: when (Unix seconds) and what, in the order in which it happened.

    Yields:
        The features by name, and whether the unit had a session, for each :attr:`LogMark.ASK`.

    Raises:
        InputError: an event is none that a device takes.
    """
    state: RunningState | None = None
    for at, what in log:
        if what is LogMark.ASK:
            yield rules.values(state, at), state is not None and not rules.is_over(state, at)
        elif what is LogMark.END:
            state = None
        else:
            event = rules.checked(what)
            if state is None:
                state = rules.begin(at)
            rules.update(state, event, at)


def _kind_of_tracker(feature: RunningFeature) -> tuple[Any, ...]:
    """Return what features have in common that are read from one tracker."""
    if feature.half_life_seconds is not None:
        return ("decayed", feature.half_life_seconds)
    if feature.window_seconds is not None:
        return ("window", feature.window_seconds)
    return (feature.kind, feature.most if feature.kind == "distinct" else 0)


def _tracker_of(feature: RunningFeature, declared: SessionFeatures) -> Tracker:
    texts = feature.field is not None and declared.fields[feature.field] == "string"
    numbers = not texts and feature.field is not None and declared.fields[feature.field] != "bool"
    if feature.half_life_seconds is not None:
        return trackers.decayed(feature.half_life_seconds, values=numbers)
    if feature.window_seconds is not None:
        return trackers.window(feature.window_seconds, values=numbers)
    if feature.kind == "last":
        alike = (f for f in declared.features if (f.kind, f.field) == ("last", feature.field))
        depth = max(f.nth for f in alike if f.where == feature.where)
        return trackers.newest(depth, texts=texts)
    if feature.kind == "distinct":
        return trackers.different(feature.most, texts=texts)
    return _SIMPLE[str(feature.kind)]()


_SIMPLE: Final[Mapping[str, Callable[[], Tracker]]] = {
    "count": trackers.counter,
    "sum": trackers.adder,
    "mean": trackers.averager,
    "minimum": trackers.smallest,
    "maximum": trackers.largest,
    "since": trackers.last_time,
    "age": trackers.first_time,
}


def _read_of(feature: RunningFeature, of: str) -> Callable[[Any, float], Any]:
    """Return how a feature is read: within what its dtype holds, so that no event ever makes the
    predictions of a session fail. ``of`` is the dtype of its field.
    """
    read, dtype = _reading(feature, of), feature.dtype
    if feature.kind in ("since", "age") or dtype in ("string", "bool", "float64"):
        return read
    low, high = range_of(dtype) if dtype in RANGES else (-LARGEST_FLOAT32, LARGEST_FLOAT32)

    def clipped(state: Any, now: float) -> Any:
        value = read(state, now)
        if value is None or low <= value <= high:
            return value
        return low if value < low else high

    return clipped


def _reading(feature: RunningFeature, of: str) -> Callable[[Any, float], Any]:
    kind, half_life, nth = feature.kind, feature.half_life_seconds, feature.nth
    if half_life is not None:
        return _reading_of_decayed(str(kind), half_life)
    if feature.window_seconds is not None:
        return _reading_of_window(str(kind), feature.window_seconds, of)
    if kind == "last":
        return lambda state, now: state[nth - 1] if len(state) >= nth else None
    if kind == "distinct":
        return lambda state, now: len(state)
    if kind == "mean":
        return lambda state, now: state[1]
    if kind in ("since", "age"):
        return lambda state, now: now - state
    return lambda state, now: state


def _reading_of_decayed(kind: str, half_life: float) -> Callable[[Any, float], Any]:
    if kind == "mean":
        return lambda state, now: state[1] / state[0]
    place = 0 if kind == "count" else 1
    return lambda state, now: state[place] * 2.0 ** ((state[2] - now) / half_life)


def _reading_of_window(kind: str, seconds: float, of: str) -> Callable[[Any, float], Any]:
    if kind == "count":
        return lambda state, now: trackers.events_in_window(state, seconds, now)
    # The sum of floats differs between versions of Python; fsum is exact in all of them.
    total: Callable[[list[Any]], Any] = sum if of in RANGES else fsum

    def read(state: Any, now: float) -> Any:
        parts = trackers.in_window(state, seconds, now)
        if kind == "sum":
            return total([part[2] for part in parts])
        if not parts:
            return None
        if kind == "mean":
            return fsum([part[2] for part in parts]) / sum([part[1] for part in parts])
        return min([p[3] for p in parts]) if kind == "minimum" else max([p[4] for p in parts])

    return read
