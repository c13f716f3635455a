"""The same work for many models, so that the failure of one does not keep the others waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Final, NamedTuple

TURN_SECONDS: Final = 2.0
"""Processor time of one turn, for the loop has other parts that wait."""


def for_each(names: Iterable[str], work: Callable[[str], object]) -> None:
    """Do ``work`` for each name, even if it fails for others.

    Raises:
        ExceptionGroup: it failed for some, whose names it gives; after all had their turn.
    """
    failed: dict[str, Exception] = {}
    for name in names:
        try:
            work(name)
        except Exception as error:
            failed[name] = error
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise ExceptionGroup(reasons, list(failed.values()))


class ModelTurns:
    """The same work for many, as much of it in one turn as there is time; the next turn goes on.

    So a hub with very many models comes to each less often, and none of its other work waits.

    Args:
        seconds: of processor time in one turn, after which nobody begins any more.
        clock: processor time of the thread, seconds.
    """

    def __init__(
        self, seconds: float = TURN_SECONDS, clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._first: str | None = None

    @property
    def under_way(self) -> bool:
        """Return whether the last turn ended before all had theirs."""
        return self._first is not None

    def for_each(self, names: Iterable[str], work: Callable[[str], object]) -> None:
        """Do ``work`` as :func:`for_each` does, from where the last turn ended."""
        began, first = self._clock(), self._first
        self._first = None
        waiting = iter(in_turn(list(names), first))

        def in_time() -> Iterable[str]:
            for name in waiting:
                if self._clock() - began > self._seconds:
                    self._first = name
                    return
                yield name

        for_each(in_time(), work)


def in_turn(names: Sequence[str], first: str | None) -> list[str]:
    """Return the names with one of them first and those before it last, if it is still there."""
    place = names.index(first) if first in names else 0
    return [*names[place:], *names[:place]]


class _Look(NamedTuple):
    """When somebody looked (Unix seconds), at what state, and until when nothing changes of it."""

    at: float
    state: Hashable
    until: float


class QuietModels:
    """Who was looked at and need not be again, before something is new or a moment comes.

    Kept in memory: a process that begins to lead looks at all of them once.
    """

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}

    def look(
        self, name: str, state: Hashable, *, now: float, work: Callable[[str, float], float]
    ) -> None:
        """Look at one, unless that would find what the last look did.

        Args:
            name: of the model, or what else is looked at.
            state: read before anything else; it changes whenever anything does that a look reads.
            now: Unix seconds.
            work: looks at that name now, and returns until when time alone changes nothing of what
                it found; one that raises is done again the next time.
        """
        last = self._looks.get(name)
        if last is None or last.state != state or not last.at <= now < last.until:
            self._looks[name] = _Look(now, state, work(name, now))

    def only(self, names: Collection[str]) -> None:
        """Forget all others."""
        self._looks = {name: look for name, look in self._looks.items() if name in names}
