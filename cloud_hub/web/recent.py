"""One answer for all who look at the same moment: a page that many have open costs no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LEAST_SECONDS: Final = 2.0
SHARE: Final = 0.1
"""Of the time that making an answer may take: what takes a second is made every ten."""


class Recent(Generic[T]):
    """Something that is made anew where it is too old. Safe from several threads.

    Args:
        make: makes it.
        clock: monotonic seconds.
    """

    def __init__(self, make: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._made: tuple[T, float] | None = None

    def get(self) -> T:
        """Return it, at most :data:`LEAST_SECONDS` old, or ten times what making it took."""
        with self._lock:
            begin = self._clock()
            if self._made is not None and begin < self._made[1]:
                return self._made[0]
            value = self._make()
            took = self._clock() - begin
            self._made = value, self._clock() + max(LEAST_SECONDS, took / SHARE)
            return value

    def forget(self) -> None:
        """Have it made anew the next time: something was changed."""
        with self._lock:
            self._made = None
