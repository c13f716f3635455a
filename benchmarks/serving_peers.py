"""Ways to write the local server in Python: the same answers behind different sockets.

``python -m benchmarks.serving_peers WAY RELEASE PATH`` serves a release folder and prints its port.

Invariant: every way reads requests and makes answers with the code of the local server, so that
they differ in how they wait for their clients alone. The peers have no limits: what bounds cost is
in the figures of ours only.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from edge_sdk.device import EdgeDevice
from edge_sdk.local_server.http_message import parse_head
from edge_sdk.local_server.http_routes import HttpRoutes
from edge_sdk.local_server.served_models import ServedModels
from edge_sdk.local_server.server import LocalServer
from edge_sdk.local_server.server_metrics import ServerMetrics

OURS: Final = "edge serve"
STDLIB: Final = "http.server, threads"
ASYNCIO: Final = "asyncio, a protocol"
LOOP: Final = "one loop over selectors"
ECHO: Final = "echo over a Unix socket"
"""Sends back what it gets: what two processes take to talk at all."""

BACKLOG: Final = 128
_END: Final = b"\r\n\r\n"

Answer = Callable[[bytearray], bytes | None]
"""Takes a whole request from what was received, and returns the answer; ``None`` if it is not
whole."""


def _answers(device: EdgeDevice) -> Answer:
    routes = HttpRoutes(ServedModels(device), ServerMetrics(), str)

    def answer(received: bytearray) -> bytes | None:
        end = received.find(_END)
        if end < 0:
            return None
        head = parse_head(bytes(received[:end]))
        whole = end + len(_END) + head.body_bytes
        if len(received) < whole:
            return None
        body = bytes(received[end + len(_END) : whole])
        del received[:whole]
        return routes.answer(head, body).to_bytes(closes=False)

    return answer


def _ours(device: EdgeDevice, path: Path) -> None:
    with LocalServer(device, port=0, path=path) as server:
        _tell(int(server.url.rpartition(":")[2]))
        while True:
            time.sleep(3_600)


def _stdlib(device: EdgeDevice, path: Path) -> None:
    answer = _answers(device)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """Answer what its own parser has read, written anew for ours."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = f"{self.requestline}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(answer(bytearray(head.encode() + body)) or b"")

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    ThreadingHTTPServer.request_queue_size = BACKLOG
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        _tell(server.server_address[1])
        server.serve_forever()


def _asyncio(device: EdgeDevice, path: Path) -> None:
    answer = _answers(device)

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Begin."""
            assert isinstance(transport, asyncio.Transport)
            self._transport, self._received = transport, bytearray()

        def data_received(self, data: bytes) -> None:
            """Answer what is whole."""
            self._received += data
            while (made := answer(self._received)) is not None:
                self._transport.write(made)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Client, "127.0.0.1", 0, backlog=BACKLOG)
        _tell(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _loop(device: EdgeDevice, path: Path) -> None:
    answer = _answers(device)
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    _tell(listener.getsockname()[1])
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(client, selectors.EVENT_READ, (client, bytearray()))
                continue
            client, received = key.data
            try:
                data = client.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                selector.unregister(client)
                client.close()
                continue
            received += data
            while (made := answer(received)) is not None:
                client.sendall(made)


def _echo(device: EdgeDevice, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        _tell(0)
        while True:
            client, _ = listener.accept()
            with client:
                while data := client.recv(1 << 16):
                    client.sendall(data)


WAYS: Final = {OURS: _ours, STDLIB: _stdlib, ASYNCIO: _asyncio, LOOP: _loop}


def _tell(port: int) -> None:
    print(port, flush=True)


if __name__ == "__main__":
    _, way, release, at = sys.argv
    with EdgeDevice.offline(release) as opened:
        {**WAYS, ECHO: _echo}[way](opened, Path(at))
