"""Load over HTTP from one process: raw sockets, each with one request under way.

A closed loop: a connection sends its next request when the answer to its last one is whole. Nothing
is parsed beyond what that takes, so that one core can load another one.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
WARM_UP_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 60.0
MOST_CONNECTIONS: Final = 20_000


@dataclass(frozen=True)
class LoadResult:
    """What came back, after the warm-up.

    Attributes:
        seconds: that were measured.
        statuses: number of answers by HTTP status.
        p50: median seconds from a request to its whole answer.
        p99: of a hundred, the one that waits second longest.
        longest: of all.
        answers: number of them, those of the warm-up too.
    """

    seconds: float
    statuses: dict[int, int]
    p50: float
    p99: float
    longest: float
    answers: int

    @property
    def rate(self) -> float:
        """Return the answers a second, whatever they said."""
        return sum(self.statuses.values()) / self.seconds

    def check(self, status: int) -> None:
        """Raise RuntimeError unless every answer had this status."""
        if set(self.statuses) != {status}:
            raise RuntimeError(f"expected answers {status} only, got {self.statuses}")


def http_request(
    method: str, path: str, token: str, body: bytes = b"", headers: Sequence[str] = ()
) -> bytes:
    """Return a request as bytes.

    Args:
        method: such as GET.
        path: on the server.
        token: bearer of the request.
        body: JSON, or nothing.
        headers: further lines.
    """
    lines = [f"{method} {path} HTTP/1.1", "Host: hub", f"Authorization: Bearer {token}", *headers]
    if body or method == "POST":
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(port: int, requests: Sequence[Callable[[], bytes]], seconds: float) -> LoadResult:
    """Load a server on this machine.

    Args:
        port: of the server, on the loopback address.
        requests: one for each connection: makes its next request.
        seconds: to measure, after a warm-up.
    """
    if len(requests) > MOST_CONNECTIONS or seconds > LONGEST_SECONDS:
        raise ValueError(f"expected at most {MOST_CONNECTIONS} connections, {LONGEST_SECONDS} s")
    return asyncio.run(_load(port, requests, seconds))


async def _load(port: int, requests: Sequence[Callable[[], bytes]], seconds: float) -> LoadResult:
    loop = asyncio.get_running_loop()
    notes: list[tuple[int, float, float]] = []
    lines = [_Line(make, notes) for make in requests]
    for line in lines:
        await loop.create_connection(lambda line=line: line, "127.0.0.1", port)  # type: ignore[misc]
    begin = time.perf_counter() + WARM_UP_SECONDS
    await asyncio.sleep(WARM_UP_SECONDS + seconds)
    end = time.perf_counter()
    for line in lines:
        line.stop()
    measured = [(status, took) for status, at, took in notes if begin <= at <= end]
    if not measured:
        raise RuntimeError("expected answers, got none")
    waits = np.array([took for _, took in measured])
    p50, p99 = (float(q) for q in np.quantile(waits, (0.5, 0.99)))
    statuses = dict(Counter(status for status, _ in measured))
    return LoadResult(end - begin, statuses, p50, p99, float(waits.max()), len(notes))


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, make: Callable[[], bytes], notes: list[tuple[int, float, float]]) -> None:
        self._make, self._notes = make, notes
        self._got, self._sent, self._stopped = b"", 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Note an answer that is whole, and send the next request."""
        self._got = self._got + data if self._got else data
        head = self._got.find(b"\r\n\r\n")
        if head < 0:
            return
        found = LENGTH.search(self._got, 0, head)
        if len(self._got) < head + 4 + (int(found[1]) if found else 0):
            return
        now = time.perf_counter()
        self._notes.append((int(self._got[9:12]), now, now - self._sent))
        self._got = b""
        if not self._stopped:
            self._send()

    def stop(self) -> None:
        """Send no more."""
        self._stopped = True
        self._transport.abort()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._make())
