"""Rows that wait at the same time, answered by one run of the model.

A row that is alone is answered at once: nothing waits for company. It comes by itself, because what
one turn of the event loop has read from its connections waits together, and so does what came while
a run was under way.

Invariants:

* A run begins as soon as a row is there and no run of its model is under way.
* Runs that are quick take place in the event loop, since a hop to a thread and back takes longer;
  slow ones, and whatever needs the database or a file, on a thread.
* Whoever hung up while waiting costs nobody else an answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, Protocol, TypeVar

from cloud_hub.errors import HubFault

MOST_ROWS: Final = 64
"""Of one run: what more waits has the next one."""

INLINE_SECONDS: Final = 0.002
"""Processor time of a run up to which the event loop makes it itself."""

THREADS: Final = 2


class OfModel(Protocol):
    """A request; those with the same ``model`` are answered together."""

    @property
    def model(self) -> str:
        """The name of a model, or what else says whose run it takes."""


Asked = TypeVar("Asked", bound=OfModel)
Answer = TypeVar("Answer")
_Asked = TypeVar("_Asked", bound=OfModel, contravariant=True)
_Answer = TypeVar("_Answer", covariant=True)


class RowAnswerer(Protocol[_Asked, _Answer]):
    """What answers rows of one model together."""

    def predict_together(self, requests: Sequence[_Asked]) -> Sequence[_Answer | HubFault]:
        """Return an answer for each, in order."""

    def is_at_hand(self, requests: Sequence[_Asked]) -> bool:
        """Return whether that is quick, and takes neither database nor files."""


class MicroBatches(Generic[Asked, Answer]):
    """Collects rows by model, and has them answered. Belongs to one event loop.

    Args:
        answering: answers them.
        clock: seconds of processor time of the thread that calls it.
    """

    def __init__(
        self,
        answering: RowAnswerer[Asked, Answer],
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._answering, self._clock = answering, clock
        self._waiting: dict[str, list[tuple[Asked, asyncio.Future[Answer]]]] = {}
        self._running: set[str] = set()
        self._seconds: dict[str, float] = {}
        self._threads = ThreadPoolExecutor(THREADS, "cascade")

    async def ask(self, request: Asked) -> Answer:
        """Return the answer to a row; raises the HubFault with which it is refused."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        model = request.model
        self._waiting.setdefault(model, []).append((request, future))
        if model not in self._running:
            self._running.add(model)
            # After this turn of the loop: rows that came with it go along.
            loop.call_soon(self._begin, loop, model)
        return await future

    def close(self) -> None:
        """End the threads; runs that are under way end first."""
        self._threads.shutdown()

    def _begin(self, loop: asyncio.AbstractEventLoop, model: str) -> None:
        """Run what waits for a model, or say that nothing does."""
        waiting = [pair for pair in self._waiting.pop(model, []) if not pair[1].done()]
        batch, rest = waiting[:MOST_ROWS], waiting[MOST_ROWS:]
        if rest:
            self._waiting[model] = rest
        if not batch:
            self._running.discard(model)
            return
        requests = [request for request, _ in batch]
        quick = self._seconds.get(model, INLINE_SECONDS) < INLINE_SECONDS
        if quick and self._answering.is_at_hand(requests):
            self._end(loop, model, batch, self._timed(requests))
            return
        run = loop.run_in_executor(self._threads, self._timed, requests)
        run.add_done_callback(lambda done: self._end(loop, model, batch, done.result()))

    def _timed(self, requests: list[Asked]) -> tuple[Sequence[Answer | HubFault], float]:
        began = self._clock()
        answers: Sequence[Answer | HubFault]
        try:
            answers = self._answering.predict_together(requests)
        except Exception as error:  # each waiting request fails with it, and none waits for ever
            answers = [_Broken(error)] * len(requests)
        return answers, self._clock() - began

    def _end(
        self,
        loop: asyncio.AbstractEventLoop,
        model: str,
        batch: list[tuple[Asked, asyncio.Future[Answer]]],
        ended: tuple[Sequence[Answer | HubFault], float],
    ) -> None:
        answers, seconds = ended
        if not all(isinstance(answer, HubFault) for answer in answers):  # so there is such a model
            self._seconds[model] = seconds
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, _Broken):
                future.set_exception(answer.error)
            elif isinstance(answer, HubFault):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        loop.call_soon(self._begin, loop, model)


class _Broken(HubFault):
    """An error that is nobody's request's fault; the route answers 500 and the log says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
