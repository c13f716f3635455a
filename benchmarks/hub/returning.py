"""Virtual devices that come back: each asks for news, checks in, downloads a model and reports.

As the runtime does, a device that is told to come later leaves, and comes when it was told to; one
whose kept connection the hub has closed sends its request again on a new one; one whose connection
fails otherwise comes again after some seconds. No more connections are open at once than a
process may have; whoever finds none waits for one, as in a queue before the hub's door. Bodies are
counted and thrown away, so that one core can play the fleet.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.hub.generator import LENGTH
from edge_sdk.hub.pause import DEFAULT

CONNECTIONS: Final = 8_000
"""Open at once: half of what a process may have here, since the hub's end of each is one too."""

PATIENCE: Final = 120.0
"""Seconds without an answer after which a device hangs up."""

LONGEST_SECONDS: Final = 3_000.0
ADDRESSES: Final = 200
"""Of the loopback network, from which devices come: one has only some 28,000 ports."""

_BUFFER: Final = memoryview(bytearray(1 << 18))


@dataclass
class Homecoming:
    """What became of a fleet.

    Attributes:
        devices: that came.
        seconds: until the last one was done.
        done: seconds after which each was.
        statuses: number of answers by HTTP status.
        failures: number of connections that failed, by what happened.
        again: requests that were sent again, since a kept connection had been closed before them.
        bytes: of bodies that came.
    """

    devices: int
    seconds: float = 0.0
    done: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    again: int = 0
    bytes: int = 0

    @property
    def broken(self) -> int:
        """Return how many connections failed."""
        return self.failures.total()

    @property
    def failed(self) -> int:
        """Return the answers that were an error of the hub: 5xx other than "come again later"."""
        return sum(count for status, count in self.statuses.items() if status >= 500) - self.later

    @property
    def later(self) -> int:
        """Return how often a device was told to come later."""
        return self.statuses[503]


def come_back(port: int, devices: Sequence[Callable[[int], bytes]], steps: int) -> Homecoming:
    """Have devices come at once, and wait until all are done.

    Args:
        port: of the hub, on the loopback address.
        devices: each makes its request for a step, from 0 on.
        steps: of each.

    Raises:
        RuntimeError: it takes much too long, or a device was refused for good.
    """
    return asyncio.run(_Return(port, devices, steps).run())


class _Return:
    def __init__(self, port: int, devices: Sequence[Callable[[int], bytes]], steps: int) -> None:
        self._port, self._devices, self._steps = port, devices, steps
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._found = Homecoming(len(devices))
        self._random = random.Random(0)

    async def run(self) -> Homecoming:
        self._began = time.perf_counter()
        async with asyncio.timeout(LONGEST_SECONDS), asyncio.TaskGroup() as group:
            for number in range(len(self._devices)):
                group.create_task(self._one(number))
        self._found.seconds = time.perf_counter() - self._began
        return self._found

    async def _one(self, number: int) -> None:
        step = 0
        while True:
            async with self._slots:
                step, wait = await self._visit(number, step)
            if step == self._steps:
                self._found.done.append(time.perf_counter() - self._began)
                return
            await asyncio.sleep(wait)

    async def _visit(self, number: int, step: int) -> tuple[int, float]:
        """Go on from a step; return the next one, and the seconds after which to come again."""
        loop, make = asyncio.get_running_loop(), self._devices[number]
        address, doing = f"127.0.1.{1 + number % ADDRESSES}", "connecting"
        try:
            async with asyncio.timeout(PATIENCE):
                transport, visit = await loop.create_connection(
                    lambda: Visit(loop), "127.0.0.1", self._port, local_addr=(address, 0)
                )
            doing = "waiting for an answer"
            try:
                while step < self._steps:
                    async with asyncio.timeout(PATIENCE):
                        status, wait = await visit.ask(make(step))
                    self._found.statuses[status] += 1
                    if status >= 400:
                        self._check(status)
                        return step, wait
                    step += 1
            finally:
                self._found.bytes += visit.taken
                transport.abort()
        except StaleConnection:
            self._found.again += 1
            return step, 0.0
        except OSError as error:  # a TimeoutError is one
            self._found.failures[f"{type(error).__name__} while {doing}"] += 1
            return step, DEFAULT * self._random.uniform(0.5, 1.5)
        return step, 0.0

    def _check(self, status: int) -> None:
        if status not in (429, 500, 502, 503, 504):
            raise RuntimeError(f"expected answers that a device can go on with, got {status}")


class StaleConnection(ConnectionError):
    """A kept connection ended before any byte of the next answer."""


class Visit(asyncio.BufferedProtocol):
    """One connection, with one request under way.

    Args:
        loop: on which it is used.
        keep: bodies are there to be read; else they are counted and thrown away.

    Attributes:
        taken: bytes of bodies that came.
        body: of the last answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, keep: bool = False) -> None:
        self._loop, self._keep, self.body = loop, keep, bytearray()
        self._answer: asyncio.Future[tuple[int, float]] | None = None
        self._head, self._left = b"", -1
        self._status, self._wait = 0, 0.0
        self.taken, self._answers = 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._failure(exc))

    def _failure(self, exc: Exception | None) -> Exception:
        if self._answers and not self._head:
            return StaleConnection("the hub had closed it")
        return exc or ConnectionResetError("closed")

    async def ask(self, request: bytes) -> tuple[int, float]:
        """Return the status, and the seconds that the hub asks to wait; raises OSError."""
        self._answer = self._loop.create_future()
        self._head, self._left, self.body = b"", -1, bytearray()
        if self._transport.is_closing():
            raise self._failure(None)
        self._transport.write(request)
        return await self._answer

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the same memory to all: what is in it is looked at, at once."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Count what came, once the head of an answer is whole."""
        if self._left < 0:
            self._head += bytes(_BUFFER[:nbytes])
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            self._read(self._head[: end + 2])
            nbytes = len(self._head) - end - 4
            self._hold(self._head[end + 4 :])
        else:
            self._hold(_BUFFER[:nbytes])
        self._left -= nbytes
        self.taken += nbytes
        if self._left <= 0 and self._answer is not None and not self._answer.done():
            self._answers += 1
            self._answer.set_result((self._status, self._wait))

    def _hold(self, data: bytes | memoryview) -> None:
        if self._keep:
            self.body += data

    def _read(self, head: bytes) -> None:
        self._status = int(head[9:12])
        found = LENGTH.search(head)
        self._left = int(found[1]) if found else 0
        later = head.lower().partition(b"\r\nretry-after:")[2].partition(b"\r\n")[0].strip()
        self._wait = float(later) if later.isdigit() else DEFAULT
