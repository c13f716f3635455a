"""Work that is done for many at once: while some of it is under way, what comes gathers.

Under load one query or one commit does for hundreds; whoever comes alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from fastapi.concurrency import run_in_threadpool

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 500
"""Items of one piece of work."""


class Together(Generic[T, R]):
    """Does work for whoever waits on one event loop, on a thread.

    Args:
        work: does it for several items, and returns the results in their order.
        at_once: items of one piece of work.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]], at_once: int = AT_ONCE) -> None:
        self._work = work
        self._at_once = at_once
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._doing: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many wait for work to begin."""
        return len(self._waiting)

    async def ask(self, item: T) -> R:
        """Return the result for one item; raises what ``work`` does."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        if self._doing is None or self._doing.done():
            self._doing = loop.create_task(self._go_on())
        return await result

    async def _go_on(self) -> None:
        while self._waiting:
            batch = self._waiting[: self._at_once]
            del self._waiting[: len(batch)]
            # Whoever hung up needs no result, and what they asked for may be a write: it is done.
            try:
                results = await run_in_threadpool(self._work, [item for item, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
