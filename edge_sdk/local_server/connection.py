"""A connection of a client: reading within limits, whatever the client does.

Invariants:

* A request has a deadline as a whole, so that a client who sends it byte by byte holds a thread no
  longer than one who sends nothing. Whoever has the connections calls :meth:`Connection.interrupt`
  when it has come: a timeout of the socket would be two more system calls for each one.
* Memory grows with what has come, not with what a client announces.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Callable
from typing import Final

from edge_sdk.local_server.limits import ServerLimits

RECEIVED_AT_ONCE: Final = 1 << 18
_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 1 << 20


class ConnectionEnded(Exception):
    """The client is gone, or too slow."""


class Connection:
    """A socket and what has been received from it.

    Args:
        sock: connected, blocking.
        limits: of the server.

    Attributes:
        received: bytes that came and were not used yet.
        waiting_since: monotonic time since which the server waits for the client, to ask or to take
            its answer; ``None`` while the answer is made.
        ends_at: monotonic time at which it is to be interrupted.
        is_answering: True from the last byte of a request until its answer is sent.
        is_ending: True if no further request is read.
    """

    def __init__(self, sock: socket.socket, limits: ServerLimits) -> None:
        self.received = bytearray()
        self.waiting_since: float | None = time.monotonic()
        self.ends_at = math.inf
        self.is_answering = False
        self.is_ending = False
        self._socket = sock
        self._limits = limits

    def serve(self, exchange: Callable[[Connection], bool]) -> None:
        """Answer requests until the client or a refusal ends the connection, then close it.

        Args:
            exchange: reads one request and answers it; returns True if there may be another.
        """
        is_kept = True
        try:
            while is_kept:
                self.begin()
                is_kept = exchange(self)
        except ConnectionEnded:
            pass
        # What a client still sends is taken, so that it gets to read why no more is answered.
        self.close(linger=self.is_ending or not is_kept)

    def begin(self) -> None:
        """Wait for the first bytes of a request.

        Raises:
            ConnectionEnded: none came, or none is to be read any more.
        """
        self.is_answering = False
        # In this order: end() interrupts what waits here, or is seen here.
        if self.is_ending:
            raise ConnectionEnded
        self.waiting_since = now = time.monotonic()
        if not self.received:
            self.ends_at = now + self._limits.idle_seconds
            self.receive()
            now = time.monotonic()
        self.ends_at = now + self._limits.request_seconds

    def receive(self) -> None:
        """Wait for more of the request.

        Raises:
            ConnectionEnded: it did not come in time.
        """
        try:
            data = self._socket.recv(RECEIVED_AT_ONCE)
        except OSError as error:
            raise ConnectionEnded from error
        if not data:
            raise ConnectionEnded
        self.received += data

    def take(self, count: int) -> bytes:
        """Wait for ``count`` bytes of the request, and return them.

        Raises:
            ConnectionEnded: they did not come in time.
        """
        while len(self.received) < count:
            self.receive()
        taken = bytes(memoryview(self.received)[:count])
        del self.received[:count]
        return taken

    def send(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            ConnectionEnded: the client does not take it in time.
        """
        now = time.monotonic()
        # Never later than it is: what is sent in the middle of a request gives no more time for it.
        self.ends_at = min(self.ends_at, now + self._limits.request_seconds)
        if self.waiting_since is None:
            self.waiting_since = now
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionEnded from error

    def answering(self) -> None:
        """Note that the request is there, and the client waits for the server from now on."""
        self.is_answering = True
        self.waiting_since = None
        self.ends_at = math.inf

    def end(self) -> None:
        """End it from another thread: behind the answer that is being made, else at once."""
        self.is_ending = True
        if not self.is_answering:
            self.interrupt()

    def interrupt(self) -> None:
        """End the connection from another thread; whoever waits for it goes on at once."""
        self.waiting_since = None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self, *, linger: bool = False) -> None:
        """Close it.

        Args:
            linger: take what the client still sends, for a moment: a connection that is closed
                with bytes unread is reset, and the client might lose the answer.
        """
        with contextlib.suppress(OSError, ConnectionEnded):
            if linger:
                self._socket.shutdown(socket.SHUT_WR)
                end, left = time.monotonic() + _LINGER_SECONDS, _LINGER_BYTES
                while left > 0 and (seconds := end - time.monotonic()) > 0:
                    self.received.clear()
                    self._socket.settimeout(seconds)
                    self.receive()
                    left -= len(self.received)
        self._socket.close()
