"""When the sync thread syncs: at its time, or before it where the hub has news.

A device that waits asks the hub to answer when there is something new, and is answered within a
fraction of a second. Where the hub, or what is between, does not let it wait, it polls as others
do. Invariant: however the hub answers, two syncs are :data:`LEAST_SECONDS` apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

WAIT_SECONDS: Final = 50.0
"""Of one request: many proxies hang up on those that take a minute."""

LEAST_SECONDS: Final = 1.0
SLACK_SECONDS: Final = 1.0
"""An answer without news that comes earlier than this before its time was not waited for."""


class NewsSource(Protocol):
    """Where the thread waits: the syncer."""

    def await_news(self, seconds: float) -> bool:
        """Wait for news for so long at most; return whether there is any."""
        ...

    @property
    def downloads_wait(self) -> float:
        """Seconds until downloads begin that are spread over a fleet; 0 if none are."""
        ...


class SyncTimes:
    """The work of the sync thread.

    Args:
        source: where it waits for news.
        sync: syncs, and returns the seconds until the next.
        waits: says whether to wait at the hub just now.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        source: NewsSource,
        sync: Callable[[], float],
        waits: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._sync = sync
        self._waits = waits
        self._clock = clock
        self._due = float("-inf")

    def work(self) -> float:
        """Sync if it is time, else wait for news; return the seconds until the next call."""
        left = self._due - self._clock()
        if left > LEAST_SECONDS and self._waits():
            return self._wait(left)
        if left > 0:
            return left
        seconds = self._sync()
        if (spread := self._source.downloads_wait) > 0:
            seconds = min(seconds, spread + LEAST_SECONDS)
        if not self._waits():
            return seconds
        self._due = self._clock() + seconds
        return min(seconds, LEAST_SECONDS)

    def _wait(self, left: float) -> float:
        asked, began = min(left, WAIT_SECONDS), self._clock()
        if self._source.await_news(asked):
            self._due = float("-inf")
            return 0.0
        if self._clock() - began >= asked - SLACK_SECONDS:
            return 0.0
        # Nobody let it wait; to ask again at once would be to ask without end.
        return max(0.0, self._due - self._clock())
