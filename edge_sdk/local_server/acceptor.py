"""The thread that takes new connections from every socket of a server."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from edge_sdk.local_server.connection import Connection

Serve = Callable[[Connection], None]
Take = Callable[[socket.socket, Serve], None]

_PAUSE_SECONDS: Final = 0.05
"""Pause after the system had no file for a connection: it will not have one at once."""


class Acceptor:
    """Takes connections until it is stopped.

    Args:
        services: what serves the connections of each listening socket; they become this object's.
        take: is given each connection.
        look_after: called now and then to look after those that were taken; returns the seconds
            after which it wants to be called again, ``None`` for when there is a new one.
    """

    def __init__(
        self,
        services: Mapping[socket.socket, Serve],
        take: Take,
        look_after: Callable[[], float | None],
    ) -> None:
        self._services = services
        self._take = take
        self._look_after = look_after
        self._woken, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="edge-serve-accept", daemon=True)
        self.is_stopped = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and wait until that is so; once more does nothing."""
        if self.is_stopped:
            return
        self.is_stopped = True
        self._waker.send(b"\0")
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            for listener, serve in self._services.items():
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ, (listener, serve))
            while not self.is_stopped:
                for key, _ in selector.select(self._look_after()):
                    if key.data is not None:
                        self._accept(*key.data)
        for each in (*self._services, self._woken, self._waker):
            each.close()

    def _accept(self, listener: socket.socket, serve: Serve) -> None:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return  # the client is gone already
        except OSError:
            time.sleep(_PAUSE_SECONDS)
            return
        sock.setblocking(True)  # on some systems it is what the listener is
        if sock.family != getattr(socket, "AF_UNIX", None):
            # macOS refuses options of a connection whose client is gone; reading it says so, too.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._take(sock, serve)
