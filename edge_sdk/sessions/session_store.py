"""The sessions of one model on a device.

Invariants:

* Their number and bytes are bounded, whatever units come: the least recently used session goes,
  and is counted.
* No event is stored or sent; where the declaration says so, states of sessions are on the disk.
* A session that ended, was dropped or forgotten is never seen again, though the disk had it.
* An event is taken as a whole or not at all, and by one thread at a time.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.contract.limits import LATEST
from edge_sdk.errors import InputError
from edge_sdk.model.values import is_moment, seconds_of
from edge_sdk.sessions.running_features import FeatureReader, RunningFeatures, RunningState

if TYPE_CHECKING:
    from edge_sdk.contract.personal.session_features import SessionFeatures
    from edge_sdk.sessions.kept_sessions import KeptSessions


class SessionStore:
    """Sessions by unit. Safe from any number of threads.

    Args:
        declared: features and bounds.
        clock: function that returns Unix seconds.
        kept: states on the disk; ``None`` where they end with the process.

    Attributes:
        rules: compute the features.
        dropped: sessions that went because there were too many.
        ended: sessions that were idle for too long.
    """

    def __init__(
        self,
        declared: SessionFeatures,
        clock: Callable[[], float],
        kept: KeptSessions | None = None,
    ) -> None:
        self.rules = RunningFeatures(declared)
        self.dropped = self.ended = 0
        self._clock, self._kept = clock, kept
        self._most, self._most_bytes = declared.sessions, declared.memory_bytes
        self._sessions: OrderedDict[str, RunningState] = OrderedDict()
        self._bytes = 0
        self._changed: set[str] = set()
        # Units with a row on the disk, those whose row is to be deleted, and is being deleted.
        self._stored: set[str] = set()
        self._gone: set[str] = set()
        self._going: set[str] = set()
        self._lock, self._saving = threading.Lock(), threading.Lock()

    @property
    def declared(self) -> SessionFeatures:
        """What was declared."""
        return self.rules.declared

    def adopt(self, other: SessionStore) -> bool:
        """Go on with the sessions of a store that ends now, if they are of the same rules.

        Returns:
            Whether they are.
        """
        if other.declared.rules_digest != self.declared.rules_digest:
            return False
        with other._lock, self._lock:
            for unit, state in other._sessions.items():
                if unit not in self._sessions:
                    self._add(unit, state)
            # What is stored of them, and what is to be deleted, is this one's from now on.
            other._changed.clear()
            if self._kept is not None:
                self._changed.update(self._sessions)
                self._stored |= other._stored
                self._gone |= other._gone | other._going
                other._stored, other._gone = set(), set()
            self._make_room()
        return True

    def event(self, unit: str, event: Mapping[str, Any], at: Any = None) -> None:
        """Take an event into the session of a unit, which begins with it where there is none.

        Args:
            unit: a checked text.
            event: its fields by name; ``None`` is a missing one.
            at: when it was: Unix seconds, or a datetime; ``None`` for now.

        Raises:
            InputError: a field or the time is not as declared; nothing has changed.
        """
        rules = self.rules
        now = self._clock() if at is None else _moment_of(at)
        checked = rules.checked(event)
        with self._lock:
            state = self._sessions.get(unit) or self._bring(unit)
            if state is None:
                state = self._begin(unit, now)
            before = state.bytes
            rules.update(state, checked, now)
            self._bytes += state.bytes - before
            self._sessions.move_to_end(unit)
            if self._kept is not None:
                self._changed.add(unit)
            if self._bytes > self._most_bytes or len(self._sessions) > self._most:
                self._make_room()

    def values(
        self, unit: str, readers: tuple[FeatureReader, ...] | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Return the features of a unit now, and whether it has a session; else the defaults.

        Args:
            unit: a checked text.
            readers: of some features; default all.
        """
        now = self._clock()
        with self._lock:
            state = self._sessions.get(unit) or self._bring(unit)
            if state is None or self.rules.is_over(state, now):
                return self.rules.values(None, now, readers), False
            self._sessions.move_to_end(unit)
            return self.rules.values(state, now, readers), True

    def lives(self, unit: str) -> bool:
        """Return whether a unit has a session now."""
        with self._lock:
            state = self._sessions.get(unit) or self._bring(unit)
            return state is not None and not self.rules.is_over(state, self._clock())

    def end(self, unit: str) -> bool:
        """End the session of a unit; return whether there was one."""
        with self._lock:
            state = self._sessions.get(unit) or self._bring(unit)
            if state is None:
                return False
            self._drop(unit)
            return not self.rules.is_over(state, self._clock())

    def forget(self, unit: str) -> bool:
        """Delete all there is of a unit, in memory and on the disk, before this returns.

        Returns:
            Whether there was something.

        Raises:
            StateError: the disk does not take the change now; it is made as soon as it does.
        """
        with self._saving:
            with self._lock:
                found = unit in self._sessions
                if found:
                    self._drop(unit)
                if self._kept is None:
                    return found
                self._gone.add(unit)
            removed = self._kept.forget([unit])
            with self._lock:
                self._gone.discard(unit)
            return found or removed > 0

    def step(self) -> None:
        """End sessions that were idle for too long, and store what changed, where that is due."""
        with self._lock:
            now = self._clock()
            while self._sessions:
                unit, state = next(iter(self._sessions.items()))
                if not self.rules.is_over(state, now):
                    break
                self._drop(unit)
                self.ended += 1
        if self._kept is not None and self._kept.is_due():
            self.save()

    def save(self) -> None:
        """Store the sessions that changed since the last time; delete those that are gone."""
        if self._kept is None:
            return
        with self._saving:
            with self._lock:
                changed, self._changed = self._changed, set()
                # What ends while these are deleted is deleted the next time.
                self._going, self._gone = self._gone, set()
            # Without the lock, or for one session: no call of the application waits for long.
            rows = [row for unit in changed if (row := self._row(unit)) is not None]
            stored = self._kept.save(rows, list(self._going))
            with self._lock:
                if not stored:
                    self._changed |= changed
                    self._gone |= self._going
                self._going = set()

    def _row(self, unit: str) -> tuple[str, float, str] | None:
        """Return a session as it is stored; ``None`` if it is over meanwhile."""
        with self._lock:
            state = self._sessions.get(unit)
            if state is None:
                return None
            self._stored.add(unit)  # if it ends before it is written, it is deleted the next time
            return unit, state.last, self.rules.dump(state)

    def status(self) -> dict[str, Any]:
        """Return numbers of sessions as plain values."""
        with self._lock:
            return {
                "declared": self.declared.ref,
                "sessions": len(self._sessions),
                "bytes": self._bytes,
                "dropped": self.dropped,
                "ended": self.ended,
                "ignored": list(self.rules.ignored),
                "kept": self._kept is not None and self._kept.trouble is None,
            }

    def close(self) -> None:
        """Store what changed; nothing is stored afterwards."""
        self.save()
        if self._kept is not None:
            with self._saving:
                self._kept.close()

    def _begin(self, unit: str, at: float) -> RunningState:
        state = self.rules.begin(at)
        self._add(unit, state)
        return state

    def _add(self, unit: str, state: RunningState) -> None:
        self._sessions[unit] = state
        self._bytes += state.bytes + _name_bytes(unit)

    def _bring(self, unit: str) -> RunningState | None:
        """Return a session that the disk has. The lock is held."""
        kept = self._kept
        if kept is None or unit in self._gone or unit in self._going:
            return None
        text = kept.read(unit)
        if text is None:
            return None
        try:
            state = self.rules.load(text)
        except (ValueError, TypeError, IndexError, KeyError):
            self._gone.add(unit)
            return None
        self._stored.add(unit)
        self._add(unit, state)
        self._make_room()
        return state

    def _make_room(self) -> None:
        # The newest stays, however large: it is what the application is about.
        while len(self._sessions) > 1 and (
            self._bytes > self._most_bytes or len(self._sessions) > self._most
        ):
            self._drop(next(iter(self._sessions)))
            self.dropped += 1

    def _drop(self, unit: str) -> None:
        state = self._sessions.pop(unit)
        self._bytes -= state.bytes + _name_bytes(unit)
        self._changed.discard(unit)
        if unit in self._stored:
            self._stored.discard(unit)
            self._gone.add(unit)


def _name_bytes(unit: str) -> int:
    return len(unit) if unit.isascii() else 4 * len(unit)


def _moment_of(at: Any) -> float:
    """Return a moment as Unix seconds; raises InputError."""
    try:
        seconds = seconds_of(at) if is_moment(at) else at
        plain = math.nan if isinstance(seconds, bool | str | bytes) else float(seconds)
    except (TypeError, ValueError, OverflowError):
        plain = math.nan
    if not 0.0 <= plain <= LATEST:  # NaN is not
        raise InputError("event", f"at: expected Unix seconds, 0 to {LATEST}, got {at!r:.60}")
    return plain
