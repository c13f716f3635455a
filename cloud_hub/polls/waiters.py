"""Devices that wait for news: each is answered as soon as there is a new timestamp.

Invariants:

* A device waits once: where it asks again, as one does whose connection broke, the request before
  is answered.
* Waiting is bounded, in time and in number; beyond it a device is answered at once, and polls.
* Those who wait are let go a few at a time, so that others are answered in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cloud_hub.polls.documents import SignedDocument

LONGEST_SECONDS: Final = 300.0
"""That one request may wait; proxies on the way hang up on much longer ones."""

MOST: Final = 20_000
"""Devices that may wait in one process."""

LOOK_SECONDS: Final = 0.1
"""Between two looks for a new timestamp, which may come from another process."""

SWEEP_SECONDS: Final = 1.0
"""Between two looks at whose time is over."""

AT_ONCE: Final = 100
"""Devices that are let go before others are answered."""

UPDATES: Final = 50
"""Devices a second that should begin to download after a push."""

LONGEST_SPREAD: Final = 600
ALL_AT_ONCE: Final = 50
"""So few devices need not be spread."""


def spread_seconds(devices: int) -> int:
    """Return over how many seconds devices that learn of news together spread their downloads."""
    if devices < ALL_AT_ONCE:
        return 0
    return min(LONGEST_SPREAD, max(1, devices // UPDATES))


class Waiter(NamedTuple):
    """One device that waits: what it knows, and until when (seconds of the event loop)."""

    news: asyncio.Future[int]
    known: SignedDocument
    until: float


class Waiters:
    """Devices that wait in one process. For one event loop.

    Args:
        newest: gives the newest timestamp, at once; ``None`` if it cannot be read.
        most: devices that may wait.
        asked: gives devices that are to be answered now, news or not.
    """

    def __init__(
        self,
        newest: Callable[[], SignedDocument | None],
        most: int = MOST,
        asked: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._newest = newest
        self._asked = asked
        self._most = most
        self._waiting: dict[str, Waiter] = {}
        self._looking: asyncio.Task[None] | None = None
        self._released = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, device: str, known: SignedDocument, seconds: float) -> int | None:
        """Wait for another timestamp.

        Args:
            device: that waits.
            known: the newest timestamp, which it has.
            seconds: for which it would wait.

        Returns:
            Over how many seconds to spread what follows from the news; 0 also where there are none
            in this time. ``None`` where nobody may wait any more.
        """
        before = self._waiting.pop(device, None)
        if before is not None and not before.news.done():
            before.news.set_result(0)
        if self._released or len(self._waiting) >= self._most:
            return None
        loop = asyncio.get_running_loop()
        until = loop.time() + min(seconds, LONGEST_SECONDS)
        mine = Waiter(loop.create_future(), known, until)
        self._waiting[device] = mine
        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._look())
        try:
            return await mine.news
        finally:
            if self._waiting.get(device) is mine:
                del self._waiting[device]

    def release(self) -> None:
        """Answer everybody, and let nobody wait from now on: the process is about to end."""
        self._released = True
        for waiter in self._waiting.values():
            if not waiter.news.done():
                waiter.news.set_result(0)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        newest, swept = None, loop.time()
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            found, now = self._newest(), loop.time()
            waiting = self._waiting.values()
            if found is not None and found is not newest:
                newest = found
                told = [w for w in waiting if w.known.raw != found.raw]
                await _let_go(told, spread_seconds(len(told)))
            for device in self._asked():
                if (waiter := self._waiting.get(device)) and not waiter.news.done():
                    waiter.news.set_result(0)
            if now - swept >= SWEEP_SECONDS:
                swept = now
                await _let_go([w for w in waiting if w.until <= now], 0)


async def _let_go(chosen: list[Waiter], spread: int) -> None:
    for first in range(0, len(chosen), AT_ONCE):
        for waiter in chosen[first : first + AT_ONCE]:
            if not waiter.news.done():  # it may have hung up meanwhile
                waiter.news.set_result(spread)
        await asyncio.sleep(0)
