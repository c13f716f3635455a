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
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from edge_sdk.aio.calls import AsyncCalls
from edge_sdk.aio.inline import InlineRule
from edge_sdk.aio.turns import Turns
from edge_sdk.device import CLOSE_SECONDS, EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.validation import check_model_name

if TYPE_CHECKING:
    from edge_sdk.fleet.device_model import DeviceModel
    from edge_sdk.fleet.model_calls import ModelCalls
    from edge_sdk.update.syncer import SyncResult

THREADS: Final = 2
WAITING: Final = 1_000


class AsyncEdgeDevice(AsyncCalls):
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
        cls,
        folder: str | Path | Sequence[str | Path],
        *,
        threads: int = THREADS,
        waiting: int = WAITING,
        **options: Any,
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
        self._opener = opener
        self._turns = Turns(threads, waiting)
        self._device: EdgeDevice | None = None
        self._models: dict[str, AsyncDeviceModel] = {}

    @property
    def device(self) -> EdgeDevice:
        """The device, for what needs no waiting.

        Raises:
            StateError: it is not open.
        """
        if self._device is None:
            raise StateError("this device is not open: use it within async with")
        return self._device

    def model(self, name: str) -> AsyncDeviceModel:
        """Return one of the models on this device, to predict with it and to give it feedback.

        Args:
            name: of the model; one that is not on this device is refused by its first call.

        Raises:
            StateError: the device is not open.
            InputError: ``name`` is no text.
        """
        _ = self.device  # which is open
        check_model_name(name)
        if name not in self._models:
            self._models[name] = AsyncDeviceModel(name, self)
        return self._models[name]

    async def join(
        self, model: str, token: str | None = None, *, serial: str | None = None
    ) -> AsyncDeviceModel:
        """Join the fleet of one more model; see :meth:`edge_sdk.EdgeDevice.join`."""
        device = self.device
        await self._turns.run(lambda: device.join(model, token, serial=serial), slow=True)
        return self.model(model)

    async def __aenter__(self) -> Self:
        self._turns.begin()
        opening = asyncio.get_running_loop().run_in_executor(self._turns.slow, self._opener)
        try:
            device = await asyncio.shield(opening)
            self._rule = InlineRule(await self._turns.hop())
        except asyncio.CancelledError:
            opening.add_done_callback(self._close_unused)
            raise
        self._device = device
        return self

    def _close_unused(self, opening: asyncio.Future[EdgeDevice]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._turns.slow.submit(opening.result().close)

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
            await asyncio.shield(closing)
            raise

    async def _close(self, timeout: float) -> None:
        device, self._device = self._device, None
        await self._turns.ended(timeout)
        if device is not None:
            # Not on the thread for what takes long: what hangs there ends by this.
            await asyncio.to_thread(device.close, timeout)
        self._turns.end()

    async def sync(self) -> SyncResult:
        """Sync with the hub; see :meth:`edge_sdk.EdgeDevice.sync`."""
        return await self._turns.run(self.device.sync, slow=True)

    async def status(self) -> dict[str, Any]:
        """Return the state of the device; see :meth:`edge_sdk.EdgeDevice.status`."""
        return await self._turns.run(self.device.status)

    def _answering(self) -> Callable[[], ModelCalls]:
        device = self.device
        return lambda: device


class AsyncDeviceModel(AsyncCalls):
    """One of a device's models; :meth:`AsyncEdgeDevice.model` returns it.

    Attributes:
        name: of the model.

    Args:
        name: of the model.
        of: its device, which is open.
    """

    def __init__(self, name: str, of: AsyncEdgeDevice) -> None:
        self.name = name
        self._of, self._turns = of, of._turns
        self._rule = InlineRule(of._rule.hop)  # quick and slow models have a rule each
        self._model: DeviceModel | None = None

    async def status(self) -> dict[str, Any]:
        """Return the state of this model here as plain values, ready for JSON."""
        device = self._of.device
        return await self._turns.run(lambda: device.model(self.name).status())

    def _answering(self) -> Callable[[], ModelCalls]:
        device = self._of.device

        def found() -> ModelCalls:
            if self._model is None:
                self._model = device.model(self.name)
            return self._model

        return found
