"""Very many connections: those that ask nothing, and those that come at once.

Ten thousand that ask nothing cost a few kilobytes each, and a handle of the system, of which there
is an end: beyond it nobody gets in. uvicorn waits for the first request on one for ever. So each
has a time to ask, and the process has all handles that the system lets it have.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from typing import Any, Final

FIRST_SECONDS: Final = 30.0
"""Seconds in which the head of a connection's first request has to come."""

ACCEPTS_PER_TURN: Final = 32
"""Connections that are accepted in one turn of the event loop."""


def impatient_protocol(seconds: float = FIRST_SECONDS) -> Any:
    """Return uvicorn's protocol, of the fastest parser that is installed, with an end to silence.

    Args:
        seconds: in which the first request has to come.
    """
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    return type("ImpatientProtocol", (_Impatient, AutoHTTPProtocol), {"first_seconds": seconds})


class _Impatient(asyncio.Protocol):
    first_seconds: float
    cycle: Any
    _first: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._first = loop.call_later(self.first_seconds, self._hang_up, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._first is not None:
            self._first.cancel()  # or it would keep all of the connection in memory
        super().connection_lost(exc)

    def _hang_up(self, transport: Any) -> None:
        self._first = None
        if self.cycle is None:  # set when the head of a request is whole
            transport.close()


def duplicate_listeners(listener: socket.socket) -> list[socket.socket]:
    """Return a listener and duplicates of it, so that many connections are accepted in one turn of
    the event loop.

    uvloop accepts one in each turn for each listener that it is given, and a hub with much to do
    has few turns a second: of a hundred thousand devices that came at once, a quarter waited until
    the system reset their connections.
    """
    return [listener, *(listener.dup() for _ in range(ACCEPTS_PER_TURN - 1))]


def take_all_handles() -> None:
    """Raise this process's limit of open files and connections as far as it may be raised."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems name a limit that they refuse
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
