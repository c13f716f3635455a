"""AsyncEdgeDevice: a device whose calls do not hold up an event loop.

Invariants:

* A prediction runs in the loop only where it is expected to take less than a thread's hop, and
  where it cannot wait for the cloud or for another process.
* A call that was begun is finished, and counted, though its task is cancelled.
* At most ``threads`` calls run and ``waiting`` wait; further ones wait in their tasks.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from edge_sdk.aio.inline import InlineRule
from edge_sdk.device import CLOSE_SECONDS, EdgeDevice
from edge_sdk.errors import StateError

if TYPE_CHECKING:
    from edge_sdk.model.explain import Explanation
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.packs.entity_features import StoredFeatures
    from edge_sdk.serving.ranking import Ranking
    from edge_sdk.update.syncer import SyncResult

T = TypeVar("T")
THREADS: Final = 2
WAITING: Final = 1_000
_HOPS: Final = 15
"""Hops to a thread that are timed when a device is opened."""


class AsyncEdgeDevice:
    """A device for asyncio: ``async with AsyncEdgeDevice(state, hub=…) as device``.

    It is opened by ``async with``, on a thread, and closed at the end of the block. It belongs to
    one event loop.

    Args:
        state: folder of the device.
        threads: predictions that run at once on threads.
        waiting: predictions that wait for a thread; more of them wait in their tasks.
        **options: keywords of :class:`edge_sdk.EdgeDevice`.
    """

    def __init__(
        self, state: str | Path, *, threads: int = THREADS, waiting: int = WAITING, **options: Any
    ) -> None:
        self._set(functools.partial(EdgeDevice, state, **options), threads, waiting)

    @classmethod
    def offline(
        cls, folder: str | Path, *, threads: int = THREADS, waiting: int = WAITING, **options: Any
    ) -> AsyncEdgeDevice:
        """Return a device without a hub; see :meth:`edge_sdk.EdgeDevice.offline`."""
        return cls._of(functools.partial(EdgeDevice.offline, folder, **options), threads, waiting)

    @classmethod
    def attach(
        cls, state: str | Path, *, threads: int = THREADS, waiting: int = WAITING,
        timeout: float = 0.0,
    ) -> AsyncEdgeDevice:  # fmt: skip
        """Return a device that another process runs; see :meth:`edge_sdk.EdgeDevice.attach`."""
        opener = functools.partial(EdgeDevice.attach, state, timeout=timeout)
        return cls._of(opener, threads, waiting)

    @classmethod
    def _of(cls, opener: Callable[[], EdgeDevice], threads: int, waiting: int) -> Self:
        made = cls.__new__(cls)
        made._set(opener, threads, waiting)
        return made

    def _set(self, opener: Callable[[], EdgeDevice], threads: int, waiting: int) -> None:
        for name, value in (("threads", threads), ("waiting", waiting)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise StateError(f"{name}: expected at least 1, got {value!r:.60}")
        self._opener = opener
        self._places = threads + waiting
        self._threads = ThreadPoolExecutor(threads, "edge-async")
        # A sync takes as long as the network likes: predictions do not wait behind it.
        self._slow = ThreadPoolExecutor(1, "edge-async-slow")
        self._pending: set[asyncio.Future[Any]] = set()
        self._device: EdgeDevice | None = None

    @property
    def device(self) -> EdgeDevice:
        """The device, for what needs no waiting.

        Raises:
            StateError: it is not open.
        """
        if self._device is None:
            raise StateError("this device is not open: use it within async with")
        return self._device

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(self._places)
        opening = loop.run_in_executor(self._slow, self._opener)
        try:
            self._device = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._close_unused)
            raise
        self._rule = InlineRule(await self._measured_hop(loop))
        return self

    def _close_unused(self, opening: asyncio.Future[EdgeDevice]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._slow.submit(opening.result().close)

    async def _measured_hop(self, loop: asyncio.AbstractEventLoop) -> float:
        seconds = []
        for _ in range(_HOPS):
            started = time.perf_counter()
            await loop.run_in_executor(self._threads, int)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Let the calls that were begun end, and close the device; though this task is cancelled.

        Args:
            timeout: seconds for the calls, and as many for the device.
        """
        closing = asyncio.ensure_future(self._close(timeout))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    async def _close(self, timeout: float) -> None:
        device, self._device = self._device, None
        if self._pending:
            await asyncio.wait(set(self._pending), timeout=timeout)
        if device is not None:
            close = functools.partial(device.close, timeout)
            await asyncio.get_running_loop().run_in_executor(self._slow, close)
        self._threads.shutdown(wait=False)
        self._slow.shutdown(wait=False)

    async def predict(
        self,
        x: Any = None,
        *,
        entity: str | None = None,
        unit: str | None = None,
        groups: Mapping[str, Any] | None = None,
        deadline_ms: float | None = None,
    ) -> Prediction:
        """Answer one input; see :meth:`edge_sdk.EdgeDevice.predict`."""
        device, rule = self.device, self._rule
        ask = functools.partial(
            device.predict, x, entity=entity, unit=unit, groups=groups, deadline_ms=deadline_ms
        )
        if rule.runs_inline() and not device.may_wait():
            return _timed(ask, rule)
        return await self._on_thread(functools.partial(_timed, ask, rule))

    async def predict_batch(self, x: Any, **options: Any) -> BatchPrediction:
        """Answer N inputs; see :meth:`edge_sdk.EdgeDevice.predict_batch`."""
        return await self._on_thread(functools.partial(self.device.predict_batch, x, **options))

    async def predict_ranking(self, x: Any, **options: Any) -> Ranking:
        """Rank items; see :meth:`edge_sdk.EdgeDevice.predict_ranking`."""
        return await self._on_thread(functools.partial(self.device.predict_ranking, x, **options))

    async def explain(self, x: Any, **options: Any) -> Explanation:
        """Explain an answer; see :meth:`edge_sdk.EdgeDevice.explain`."""
        return await self._on_thread(functools.partial(self.device.explain, x, **options))

    async def stored_features(self, entity: str) -> StoredFeatures:
        """Return what is stored of an entity; see :meth:`edge_sdk.EdgeDevice.stored_features`."""
        return await self._on_thread(functools.partial(self.device.stored_features, entity))

    async def feedback(self, prediction: str, **outcome: Any) -> None:
        """Report an outcome; see :meth:`edge_sdk.EdgeDevice.feedback`."""
        await self._on_thread(functools.partial(self.device.feedback, prediction, **outcome))

    async def sync(self) -> SyncResult:
        """Sync with the hub; see :meth:`edge_sdk.EdgeDevice.sync`."""
        return await self._on_thread(self.device.sync, self._slow)

    async def status(self) -> dict[str, Any]:
        """Return the state of the device; see :meth:`edge_sdk.EdgeDevice.status`."""
        return await self._on_thread(self.device.status, self._slow)

    async def _on_thread(
        self, call: Callable[[], T], executor: ThreadPoolExecutor | None = None
    ) -> T:
        # A task that is cancelled here has begun nothing.
        await self._turns.acquire()
        future = asyncio.get_running_loop().run_in_executor(executor or self._threads, call)
        self._pending.add(future)
        future.add_done_callback(self._done)
        # One that is cancelled here leaves a call that goes on to its end.
        return await asyncio.shield(future)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._turns.release()
        self._pending.discard(future)
        if not future.cancelled():
            future.exception()  # seen, or asyncio would complain where its task was cancelled


def _timed(ask: Callable[[], Prediction], rule: InlineRule) -> Prediction:
    started = time.perf_counter()
    try:
        return ask()
    finally:
        rule.took(time.perf_counter() - started)
