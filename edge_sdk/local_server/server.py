"""LocalServer: a device for the other programs on its machine.

Invariants:

* It listens on the loopback unless it is told another address, and on a Unix socket that only the
  own user may open.
* A client can take its share and no more: connections, bytes and seconds are bounded, and a client
  that keeps the server waiting makes room for one that does not.
* A connection has a thread of its own, so that a model or a cloud that takes long holds up nobody
  else; ``benchmarks/serving.py`` has the other ways to write such a server, measured.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from edge_sdk.errors import StateError
from edge_sdk.local_server.acceptor import Acceptor
from edge_sdk.local_server.connection import Connection
from edge_sdk.local_server.connection_threads import ConnectionThreads
from edge_sdk.local_server.frames import FrameService
from edge_sdk.local_server.http_access import HttpAccess
from edge_sdk.local_server.http_connection import HttpService
from edge_sdk.local_server.http_routes import HttpRoutes
from edge_sdk.local_server.limits import ByteBudget, ServerLimits
from edge_sdk.local_server.listening import listen_on_path, listen_on_port, remove_path
from edge_sdk.local_server.served_models import ServedModels
from edge_sdk.local_server.server_metrics import ServerMetrics
from edge_sdk.system.operating_system import close_in_child

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice

PORT: Final = 8080
CLOSE_SECONDS: Final = 5.0
"""Seconds that :meth:`LocalServer.close` waits for answers that are being made."""


class LocalServer:
    """Serves a device from threads of its own until :meth:`close`; also a context manager.

    It answers for every model of the device: the Open Inference Protocol over HTTP, and with
    ``path`` binary frames over a Unix socket; docs/LOCAL_SERVER.md describes both. The device stays
    the caller's, who closes it after the server. A forked child has no part in it.

    Args:
        device: answers.
        host: address to listen on. Other machines can reach one that is not on the loopback, and
            nobody is asked who they are.
        port: TCP port; 0 for one that is free.
        path: of a Unix socket; ``None`` for none.
        origins: web pages whose scripts may ask, such as ``http://localhost:3000``.
        limits: bounds.

    Attributes:
        url: where it is.

    Raises:
        StateError: the port or the path cannot be used.
    """

    def __init__(
        self,
        device: EdgeDevice,
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        path: str | Path | None = None,
        origins: Collection[str] = (),
        limits: ServerLimits = ServerLimits(),
    ) -> None:
        self._device = device
        self._limits = limits
        self._metrics = ServerMetrics()
        self._path = None if path is None else Path(path)
        budget, models = ByteBudget(limits.all_bodies_bytes), ServedModels(device)
        routes = HttpRoutes(models, self._metrics, self._metrics_text)
        http = HttpService(routes, HttpAccess(host, origins), limits, budget, self._metrics)
        frames = FrameService(device, models, limits, budget, self._metrics)
        with contextlib.ExitStack() as undo:
            tcp = undo.enter_context(listen_on_port(host, port))
            services = {tcp: http.serve}
            if self._path is not None:
                services[undo.enter_context(listen_on_path(self._path))] = frames.serve
            undo.pop_all()
        for listener in services:
            close_in_child(listener)
        self._process = os.getpid()
        self.url = _url(tcp)
        self._tick = min(limits.idle_seconds, limits.request_seconds) / 4
        self._connections: set[Connection] = set()
        self._changed = threading.Condition()
        self._threads = ConnectionThreads()
        self._acceptor = Acceptor(services, self._take, self._end_late)
        self._acceptor.start()

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Stop listening, finish what is being answered, end all connections.

        Args:
            timeout: seconds that answers may take.
        """
        if os.getpid() != self._process:
            return
        self._acceptor.stop()
        if self._path is not None:
            remove_path(self._path)
        end = time.monotonic() + timeout
        with self._changed:
            while self._connections:
                late = time.monotonic() >= end
                for connection in self._connections:
                    if late:
                        connection.interrupt()
                    else:
                        connection.end()
                if late:
                    return
                self._changed.wait(0.05)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, sock: socket.socket, serve: Callable[[Connection], None]) -> None:
        """Serve a connection in a thread, as soon as there is room for it."""
        close_in_child(sock)
        connection = Connection(sock, self._limits)
        with self._changed:
            while len(self._connections) >= self._limits.connections:
                self._make_room()
                self._end_late()
                if not self._changed.wait(0.05) and self._acceptor.is_stopped:
                    sock.close()
                    return
            self._connections.add(connection)
        try:
            self._threads.run(functools.partial(self._serve, connection, serve))
        except RuntimeError:  # the system gives no more threads
            self._forget(connection)

    def _serve(self, connection: Connection, serve: Callable[[Connection], None]) -> None:
        try:
            serve(connection)
        finally:
            self._forget(connection)

    def _make_room(self) -> None:
        """End the connection whose client has kept the server waiting longest."""
        waiting = [c for c in self._connections if c.waiting_since is not None]
        if waiting:
            min(waiting, key=lambda c: c.waiting_since or 0.0).interrupt()
            self._metrics.displaced()

    def _end_late(self) -> float | None:
        """End the connections whose time is over; return the seconds until the next look."""
        now = time.monotonic()
        with self._changed:
            for connection in self._connections:
                if connection.ends_at < now:
                    connection.interrupt()
            return self._tick if self._connections else None

    def _forget(self, connection: Connection) -> None:
        connection.close()
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def _metrics_text(self) -> str:
        try:
            status = self._device.status()
        except StateError:  # another process ran the device, and has ended
            status = {}
        return self._metrics.text(len(self._connections), status)


def _url(tcp: socket.socket) -> str:
    host, port = tcp.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
