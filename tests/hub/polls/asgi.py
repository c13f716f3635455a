"""The hub's application without a server: requests as bytes, answers as they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.types import Message

from cloud_hub.app import create_app
from cloud_hub.hub import Hub
from cloud_hub.polls.fast_path import PollFastPath


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def application(hub: Hub, *, fast: bool = True) -> Any:
    """The application of an open hub; without ``fast`` everything goes the general way."""
    app = create_app(hub)
    app.state.hub = hub
    if not fast:
        fast_path: object = PollFastPath
        app.user_middleware = [m for m in app.user_middleware if m.cls is not fast_path]
    return app


async def ask(
    app: Any, path: str, headers: Mapping[str, str], method: str = "GET", query: bytes = b"",
    content: bytes = b"",
) -> Answered:  # fmt: skip
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    request: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        if not request:  # this client never hangs up
            await asyncio.Event().wait()
        return request.pop()

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query, "client": ("192.0.2.1", 4711), "server": ("hub", 80),
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
        "scheme": "http", "root_path": "", "http_version": "1.1", "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)
    sent = {k.decode().lower(): v.decode() for k, v in messages[0]["headers"]}
    sent.pop("x-request-id", None)  # another one for each request
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Answered(messages[0]["status"], sent, body)
