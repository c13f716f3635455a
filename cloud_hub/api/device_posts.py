"""Short POSTs of devices without the general way: routing, dependencies and validation cost several
times what the answer does.

Only what is usual is answered here: a device whose credential is in memory or easily found, and a
short body that can be read. Everything else, each refusal included, goes the general way with its
body, so that there is one place for it; a test of each path holds both to the same answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.api.auth import looked_up_device
from cloud_hub.api.json_response import json_bytes
from cloud_hub.api.request_body import PATIENCE_SECONDS, too_slow
from cloud_hub.errors import HubFault
from edge_sdk.contract.errors import ContractError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.hub import Hub

BEARER: Final = b"Bearer "
GROUP: Final = "edge_hub.group"
"""Key of a scope by which a middleware names the group of what it answers, for metrics."""

SHORT: Final = 64 << 10
"""Bytes of a body that is read in the event loop: some milliseconds of work at most."""

Answering = Callable[["EnrolledDevice", bytes], Awaitable[Any]]
"""Answers a device's body with JSON; raises ContractError where that cannot be read."""


class DevicePosts:
    """Middleware that answers short POSTs of known devices.

    Args:
        app: the general way.
        hub: that knows the devices.
        answering: what answers, by path.
    """

    def __init__(self, app: ASGIApp, hub: Hub, answering: Mapping[str, Answering]) -> None:
        self._app, self._hub = app, hub
        self._answering = {path: (path.rpartition("/")[2], a) for path, a in answering.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        found = self._answering.get(scope["path"]) if scope["type"] == "http" else None
        token = None if found is None else _token(scope)
        if found is None or token is None:
            await self._app(scope, receive, send)
            return
        scope[GROUP], answering = found
        first: Message | None = None
        try:
            device = await looked_up_device(self._hub, token)
            if device is not None:
                first = await _first(receive)
                if _is_whole(first):
                    await _send(send, 200, await answering(device, first.get("body", b"")), {})
                    return
        except HubFault as error:
            await _send(send, error.status, error.as_json(), error.headers)
            return
        except (ContractError, SQLAlchemyError):
            pass  # the general way says why
        await self._app(scope, receive if first is None else _again(first, receive), send)


def _token(scope: Scope) -> str | None:
    """Return the credential that a POST shows; ``None`` for whatever is answered elsewhere."""
    if scope["method"] != "POST" or scope["query_string"]:
        return None
    for name, value in scope["headers"]:
        if name == b"authorization":
            token: bytes = value[len(BEARER) :]
            return token.decode() if value.startswith(BEARER) and token.isascii() else None
    return None


async def _first(receive: Receive) -> Message:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await receive()
    except TimeoutError:
        raise too_slow() from None


def _is_whole(first: Message) -> bool:
    whole = first["type"] == "http.request" and not first.get("more_body")
    return whole and len(first.get("body", b"")) <= SHORT


def _again(first: Message, receive: Receive) -> Receive:
    """Return a ``receive`` that gives once more what was received already."""
    waiting = [first]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _send(send: Send, status: int, document: Any, headers: Mapping[str, str]) -> None:
    body = json_bytes(document)
    lines = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    lines += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
