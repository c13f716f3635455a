"""Requests to an application in this process: raw bytes in, status out, as uvicorn would hand them.

No server and no socket, so that 20,000 requests take a minute or two, and an error that leaves the
application is seen with its traceback.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

CHUNK = 1 << 16


@dataclass(frozen=True)
class Asked:
    """One request, as it would stand on the line: ``path`` and ``query`` are percent-encoded."""

    role: str
    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunked: bool = False

    def reproduction(self) -> str:
        """Return it as a line of Python that makes it again."""
        return repr(self)


@dataclass
class Answered:
    """Status and body; ``error`` is the traceback of what the application raised."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    error: str = ""


async def ask(app: Any, asked: Asked, credentials: Sequence[tuple[str, str]]) -> Answered:
    """Put a request to ``app``.

    Args:
        app: an ASGI application.
        asked: the request.
        credentials: headers of the role that asks.
    """
    answered, parts = Answered(), _parts(asked.body)

    async def receive() -> dict[str, Any]:
        if not parts:
            return {"type": "http.disconnect"}
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.status, answered.headers = message["status"], list(message["headers"])
        elif len(answered.body) < CHUNK:
            answered.body += message.get("body", b"")[:CHUNK]

    try:
        await app(_scope(asked, credentials), receive, send)
    except Exception:
        answered.error = traceback.format_exc()
        answered.status = answered.status if answered.status >= 500 else 599
    return answered


def _parts(body: bytes) -> list[bytes]:
    return [body[i : i + CHUNK] for i in range(0, len(body), CHUNK)] or [b""]


def _scope(asked: Asked, credentials: Sequence[tuple[str, str]]) -> dict[str, Any]:
    headers = [("host", "hub"), *credentials, *asked.headers]
    if not asked.chunked:
        headers.append(("content-length", str(len(asked.body))))
    encoded = [
        (name.lower().encode("latin-1", "ignore"), value.encode("latin-1", "replace"))
        for name, value in headers
    ]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": asked.method, "path": unquote(asked.path), "root_path": "",
        "raw_path": asked.path.encode("latin-1", "replace"),
        "query_string": asked.query.encode("latin-1", "replace"),
        "headers": encoded, "client": ("127.0.0.1", 1), "server": ("hub", 80), "state": {},
    }  # fmt: skip


def run(app: Any, asked: Asked, credentials: Sequence[tuple[str, str]] = ()) -> Answered:
    """Ask once, from outside of any event loop."""
    return asyncio.run(ask(app, asked, credentials))
