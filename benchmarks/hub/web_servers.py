"""Web servers under the hub: what each takes for one small answer, of one ASGI application.

``python -m benchmarks.hub.web_servers KIND`` serves; :func:`compare` loads each in turn.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Final

from benchmarks.hub.generator import http_request, load
from benchmarks.hub.measured_rows import CONNECTIONS
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import START_SECONDS, cores, group_seconds

UVICORN: Final = {
    "uvicorn with h11": ("h11", "asyncio"),
    "uvicorn with httptools": ("httptools", "asyncio"),
    "uvicorn with httptools and uvloop": ("httptools", "uvloop"),
}
GRANIAN: Final = "granian"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer everything with 304."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", b'"1"')]})
    await send({"type": "http.response.body", "body": b""})


def compare(bench: Bench) -> list[ScaleRow]:
    """Return a row for each server that is installed."""
    found = [_measured(kind, bench.seconds) for kind in (*UVICORN, GRANIAN)]
    return [row for row in found if row is not None]


def _measured(kind: str, seconds: float) -> ScaleRow | None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.hub.web_servers", kind, str(port)]
    server = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.sched_setaffinity(server.pid, cores()[0])
    try:
        if not _listens(server, port):
            return None
        before = group_seconds(server.pid)
        request = http_request("GET", "/v1/metadata/timestamp.json", "token")
        found = load(port, [lambda: request] * CONNECTIONS, seconds)
        each = 1e6 * (group_seconds(server.pid) - before) / found.answers
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    words = f"{found.rate:,.0f}/s, {each:.0f} µs of processor time each"
    return ScaleRow(kind, f"{kind}, an application that does nothing", "", words)


def _listens(server: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False


def _serve(kind: str, port: int) -> None:
    if kind == GRANIAN:
        from granian import Granian
        from granian.constants import Interfaces

        Granian(
            "benchmarks.hub.web_servers:application", port=port, interface=Interfaces.ASGI,
            log_enabled=False,
        ).serve()  # fmt: skip
        return
    import uvicorn

    http, loop = UVICORN[kind]
    uvicorn.run(
        application, port=port, http=http, loop=loop, lifespan="off", log_level="critical",
        access_log=False,
    )  # fmt: skip


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
