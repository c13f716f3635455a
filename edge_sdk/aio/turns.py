"""The bounded threads on which calls run for an event loop."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from edge_sdk.errors import StateError

T = TypeVar("T")
_HOPS: Final = 15
"""Hops to a thread that are timed when a device is opened."""


class Turns:
    """Threads for predictions, and one for what takes long, which all calls of a device share.

    Args:
        threads: calls that run at once.
        waiting: calls that wait for a thread; more of them wait in their tasks.

    Raises:
        StateError: one of them is not a number of at least 1.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        for name, value in (("threads", threads), ("waiting", waiting)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise StateError(f"{name}: expected at least 1, got {value!r:.60}")
        self._places = threads + waiting
        self._threads = ThreadPoolExecutor(threads, "edge-async")
        # A sync takes as long as the network likes: predictions do not wait behind it.
        self.slow = ThreadPoolExecutor(1, "edge-async-slow")
        self._pending: set[asyncio.Future[Any]] = set()
        self._over = False

    def begin(self) -> None:
        """Belong to the event loop that runs.

        Raises:
            StateError: it has ended.
        """
        self._refuse_if_over()
        self._free = asyncio.Semaphore(self._places)

    async def hop(self) -> float:
        """Return the seconds that a hop to a thread and back takes, measured now."""
        loop = asyncio.get_running_loop()
        seconds = []
        for _ in range(_HOPS):
            started = time.perf_counter()
            await loop.run_in_executor(self._threads, int)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)

    async def run(self, call: Callable[[], T], *, slow: bool = False) -> T:
        """Run a call on a thread; with ``slow`` on the one for what takes long.

        Raises:
            StateError: the device was closed before its turn came.
        """
        # A task that is cancelled here has begun nothing.
        await self._free.acquire()
        if self._over:
            self._free.release()  # for the next one that waits
        self._refuse_if_over()
        executor = self.slow if slow else self._threads
        future = asyncio.get_running_loop().run_in_executor(executor, call)
        self._pending.add(future)
        future.add_done_callback(self._done)
        # One that is cancelled here leaves a call that goes on to its end.
        return await asyncio.shield(future)

    async def ended(self, timeout: float) -> None:
        """Wait until the calls that were begun have ended, or for so many seconds."""
        if self._pending:
            await asyncio.wait(set(self._pending), timeout=timeout)

    def end(self) -> None:
        """Take no more calls."""
        self._over = True
        self._threads.shutdown(wait=False)
        self.slow.shutdown(wait=False)

    def _refuse_if_over(self) -> None:
        if self._over:
            raise StateError("this device is closed: open another one")

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._free.release()
        self._pending.discard(future)
        if not future.cancelled():
            future.exception()  # seen, or asyncio would complain where its task was cancelled
