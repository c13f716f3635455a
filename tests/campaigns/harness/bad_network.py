"""A network between a device and its hub, as bad as one asks for, that counts what it carries.

It is a TCP proxy: it loses, delays and cuts bytes of connections, and answers in the place of the
hub as portals and gateways do. A lost segment is a pause of the connection, as TCP shows it to
programs: the kernel's retransmissions cannot be had without ``tc``.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from tests.waiting import PATIENCE

SEGMENT: Final = 1_448
"""Bytes of one segment of TCP over Ethernet."""

RETRANSMISSION: Final = 0.2
"""Seconds until a lost segment comes again; twice as long each time that it is lost again."""


@dataclass(frozen=True)
class Weather:
    """What the network does.

    Attributes:
        latency: seconds that a segment takes, each way.
        rate: bytes a second towards the device; ``None`` for no bound.
        loss: share of segments that are lost on the way to the device.
        cut: each connection is cut after so many bytes, at random between the two.
        answer: bytes that answer every request in the place of the hub.
        until: once so many bytes went to the device in sum, every connection is cut, and others
            are closed as they come.
    """

    latency: float = 0.0
    rate: float | None = None
    loss: float = 0.0
    cut: tuple[int, int] | None = None
    answer: bytes | None = None
    until: int | None = None


FAIR: Final = Weather()


class BadNetwork:
    """The proxy, on a thread of its own.

    Args:
        hub: port of the hub on this machine.
        seed: of its chance.
        before_answer: called before each segment of an answer goes on to the device.

    Attributes:
        weather: what it does; holds from the next connection on.
        tls: certificate that it shows, if devices speak TLS with it.
        hub: port of the hub; a hub that was started again has another.
        carried: bytes that went to the device.
    """

    def __init__(
        self, hub: int, seed: int = 0, before_answer: Callable[[], None] = lambda: None
    ) -> None:
        self.weather = FAIR
        self.tls: ssl.SSLContext | None = None
        self.hub = hub
        self.carried = 0
        self._chance = random.Random(seed)
        self._before_answer = before_answer
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._wait(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def change(self, weather: Weather, tls: ssl.SSLContext | None = None) -> None:
        """Change the weather; connections that are open end."""
        self.weather, self.tls = weather, tls or self.tls
        self._wait(self._hang_up())

    def close(self) -> None:
        self._server.close()
        self._wait(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _hang_up(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.tls is not None:
                await writer.start_tls(self.tls)
            if self.weather.answer is not None:
                await self._answer(reader, writer, self.weather.answer)
            elif not self._over(self.weather):
                await self._connect(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # one of the two ends is gone
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    def _over(self, weather: Weather) -> bool:
        return weather.until is not None and self.carried >= weather.until

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_hub, to_hub = await asyncio.open_connection("127.0.0.1", self.hub)
        up = asyncio.create_task(self._carry(reader, to_hub, self.weather, counted=False))
        down = asyncio.create_task(self._carry(from_hub, writer, self.weather, counted=True))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task
            to_hub.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        weather: Weather,
        *,
        counted: bool,
    ) -> None:
        """Carry one direction until its end, or until it is cut."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
        taking = asyncio.create_task(self._take(reader, queue, weather, lossy=counted))
        left = self._chance.randint(*weather.cut) if counted and weather.cut else None
        try:
            while True:
                due, segment = await queue.get()
                if not segment:
                    return
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if left is not None:
                    segment = segment[:left]
                    left -= len(segment)
                if counted:
                    self._before_answer()
                writer.write(segment)
                await writer.drain()
                if counted:
                    self.carried += len(segment)
                    if weather.rate:
                        await asyncio.sleep(len(segment) / weather.rate)
                if left == 0 or self._over(weather):
                    return
        finally:
            taking.cancel()

    async def _take(
        self,
        reader: asyncio.StreamReader,
        queue: asyncio.Queue[tuple[float, bytes]],
        weather: Weather,
        *,
        lossy: bool,
    ) -> None:
        """Put segments into the queue, each with the time at which it arrives."""
        while True:
            try:
                segment = await reader.read(SEGMENT)
            except OSError:
                segment = b""
            delay, again = weather.latency, RETRANSMISSION
            while lossy and self._chance.random() < weather.loss:
                delay, again = delay + again, again * 2
            await queue.put((time.monotonic() + delay, segment))
            if not segment:
                return
