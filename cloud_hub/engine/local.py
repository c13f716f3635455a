"""This machine as an engine: threads of this process, or processes where Python itself computes."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from cloud_hub.engine.engine import SpreadTask, SpreadWork, spread_function
from cloud_hub.errors import HubFault


class LocalEngine:
    """Computes here.

    Args:
        slots: items at once.
        processes: computes in processes, since Python's own code takes turns in threads; the
            functions then must not depend on what this process has loaded.
    """

    name, elsewhere = "local", False

    def __init__(self, slots: int = 1, *, processes: bool = False) -> None:
        self._slots = slots
        self._processes = processes

    def spread(self, task: SpreadTask, items: Iterable[bytes]) -> SpreadWork:
        """Compute a function over items; see :class:`Engine`."""
        return LocalSpread(task, items, self._slots, processes=self._processes)

    def problem(self) -> str:
        """Return an empty text: this machine is there."""
        return ""


class LocalSpread:
    """Items that are computed here; see :class:`SpreadWork`."""

    def __init__(
        self, task: SpreadTask, items: Iterable[bytes], slots: int, *, processes: bool
    ) -> None:
        self._task = task
        self._items = items
        self._slots = slots
        self._processes = processes
        self._cancelled = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the result of each item; see :class:`SpreadWork`."""
        task = self._task
        if self._slots == 1 and not self._processes:
            function = spread_function(task.function)
            for item in self._items:
                if self._cancelled:
                    raise HubFault("engine: cancelled")
                yield function(task.common, item)
            return
        try:
            with self._executor() as pool:
                try:
                    yield from self._pooled(pool)
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
        except BrokenProcessPool as error:
            raise HubFault("engine: a process was ended; was the machine out of memory?") from error

    def cancel(self) -> None:
        """End it with the items under way; see :class:`SpreadWork`."""
        self._cancelled = True

    def _executor(self) -> Executor:
        if self._processes:
            spread_function(self._task.function)  # refused here, and not where a process begins
            # Not forked: threads of this process may hold locks.
            return ProcessPoolExecutor(
                self._slots, get_context("spawn"), _hold, (self._task.function, self._task.common)
            )
        return ThreadPoolExecutor(self._slots, "engine")

    def _pooled(self, pool: Executor) -> Iterator[bytes]:
        waiting: deque[Future[bytes]] = deque()
        for item in self._items:
            if self._cancelled:
                raise HubFault("engine: cancelled")
            waiting.append(self._submitted(pool, item))
            if len(waiting) > self._slots:  # one more than are computed: results stay few
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _submitted(self, pool: Executor, item: bytes) -> Future[bytes]:
        if self._processes:
            return pool.submit(_compute, item)
        return pool.submit(spread_function(self._task.function), self._task.common, item)


_held: list[Callable[[bytes], bytes]] = []
"""The work of a process of a pool."""


def _hold(name: str, common: bytes) -> None:
    """Begin a process of a pool: what all items share is sent once, and not with each."""
    _held.append(functools.partial(spread_function(name), common))


def _compute(item: bytes) -> bytes:
    return _held[0](item)
