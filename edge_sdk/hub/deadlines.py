"""Ends to requests: a hub that drips bytes keeps every read alive, and no request.

A timeout of a socket is one of a single read. Here each request has a :class:`Watch`, which shuts
the request's connections down when its time is over, wherever it is: in the TLS handshake, in the
head or in the body. Invariants:

* Whoever waits in a read of a connection that was shut down is woken at once.
* A transfer that gets on is not ended: an upload moves its deadline with every block that the
  network takes, a download has a :class:`Progress` instead.
* An answer is read within :func:`reading`, or given up by :func:`close_answer`: both end its watch.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from edge_sdk.errors import HubUnreachable
from edge_sdk.hub.network_errors import why

if TYPE_CHECKING:
    import requests

STALL_SECONDS: Final = 30.0
"""Seconds in which a transfer has to bring :data:`STALL_BYTES`."""

STALL_BYTES: Final = 4 << 10
"""About what the slowest mobile networks bring in ten seconds."""

_current = threading.local()


class Watch:
    """The end of one request of one thread.

    Attributes:
        over: its time came, or somebody ended it.

    Args:
        seconds: until its end.
        closed: called once, when nobody waits for the answer any more.
    """

    def __init__(
        self, seconds: float, closed: Callable[[Watch], None] = lambda watch: None
    ) -> None:
        self.over = False
        self._closed: Callable[[Watch], None] | None = closed
        self._started = time.monotonic()
        self._until = self._started + seconds
        self._moved = 0.0
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._arm(seconds)

    @property
    def spent(self) -> float:
        """Return the seconds that it took, without those that a transfer was given."""
        return max(0.0, time.monotonic() - self._started - self._moved)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the connections that this thread uses within the block."""
        _current.watch = self
        try:
            yield
        finally:
            _current.watch = None

    def add(self, sock: Any) -> None:
        """Watch a connection: TCP, or TLS over it."""
        # A second handle to the connection: it stays ours while TLS takes the socket over, and
        # after the library has closed its own.
        handle = socket.socket(fileno=os.dup(sock.fileno()))
        with self._lock:
            self._sockets.append(handle)
            if self.over:
                _shut_down(handle)

    def get_on(self) -> None:
        """Note that a transfer gets on: it has :data:`STALL_SECONDS` for its next block."""
        later = time.monotonic() + STALL_SECONDS
        if later > self._until:
            self._moved += later - self._until
            self._until = later

    def end(self) -> None:
        """Shut the connections down, now."""
        with self._lock:
            self.over = True
            for handle in self._sockets:
                _shut_down(handle)

    def close(self) -> None:
        """Stop watching; the connections stay as they are."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            for handle in self._sockets:
                handle.close()
            self._sockets = []
            closed, self._closed = self._closed, None
        if closed is not None:
            closed(self)

    def _arm(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            self.end()
            return
        with self._lock:
            if self._timer is not None:  # not closed meanwhile
                self._arm(left)


class Late(HubUnreachable):
    """The time of an answer is over, or this device is being closed: asking on is of no use.

    Args:
        url: that was asked.
    """

    def __init__(self, url: str) -> None:
        super().__init__(f"{url}: the answer did not come in time, or this device is being closed")


def watch_answer(response: requests.Response, watch: Watch) -> None:
    """Have ``watch`` go on until all of an answer has been read."""
    response.edge_watch = watch  # type: ignore[attr-defined]


@contextlib.contextmanager
def reading(response: requests.Response, url: str) -> Iterator[None]:
    """Read an answer within the block; at its end the answer is closed.

    Args:
        response: of which a watch may go on, see :func:`watch_answer`.
        url: that was asked, for errors.

    Raises:
        Late: the time of the answer is over.
        HubUnreachable: the connection failed.
    """
    try:
        yield
        if _is_late(response):  # a body without a length ends like this
            raise Late(url)
    except (HTTPError, HTTPException, OSError) as error:
        if _is_late(response):
            raise Late(url) from error
        raise HubUnreachable(f"{url}: the transfer stopped; {why(error)}") from error
    finally:
        close_answer(response)


def close_answer(response: requests.Response) -> None:
    """Close an answer, and the watch that it may have."""
    response.close()
    watch: Watch | None = getattr(response, "edge_watch", None)
    if watch is not None:
        watch.close()


def _is_late(response: requests.Response) -> bool:
    watch: Watch | None = getattr(response, "edge_watch", None)
    return watch is not None and watch.over


class Body:
    """Bytes to send, whose progress a watch sees.

    Args:
        data: all of them.
        watch: of the request.
    """

    def __init__(self, data: bytes, watch: Watch) -> None:
        self._data = data
        self._watch = watch
        self._at = 0

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(1 << 14):
            yield block

    def read(self, size: int = -1) -> bytes:
        """Return the next block; that it is asked for shows that the one before went out."""
        self._watch.get_on()
        end = len(self._data) if size < 0 else self._at + size
        block = self._data[self._at : end]
        self._at += len(block)
        return block

    def rewind(self) -> None:
        """Begin again, for another connection."""
        self._at = 0


class Stalled(HubUnreachable):
    """A transfer gets on more slowly than any network does."""


class Progress:
    """The pace of one download.

    Args:
        path: of its request.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._since = time.monotonic()
        self._bytes = 0

    def came(self, size: int) -> None:
        """Note that ``size`` bytes came.

        Raises:
            Stalled: fewer than :data:`STALL_BYTES` came in :data:`STALL_SECONDS`.
        """
        self._bytes += size
        now = time.monotonic()
        if now - self._since < STALL_SECONDS:
            return
        if self._bytes < STALL_BYTES:
            raise Stalled(
                f"{self._path}: the transfer stands still: {self._bytes} bytes in "
                f"{now - self._since:.0f} s"
            )
        self._since, self._bytes = now, 0


class _Watched:
    """A connection of urllib3 that the watch of its thread may shut down."""

    sock: Any

    def _new_conn(self) -> Any:
        sock = super()._new_conn()  # type: ignore[misc]
        _watch(sock)
        return sock

    def request(self, *arguments: Any, **options: Any) -> Any:
        if self.sock is not None:  # kept from an earlier request
            _watch(self.sock)
        return super().request(*arguments, **options)  # type: ignore[misc]


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


POOLS: Final = {"http": _HTTPPool, "https": _HTTPSPool}
"""Pools of watched connections, as urllib3's managers take them."""


def _watch(sock: Any) -> None:
    watch: Watch | None = getattr(_current, "watch", None)
    if watch is not None:
        watch.add(sock)


def _shut_down(handle: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended by itself
        handle.shutdown(socket.SHUT_RDWR)
