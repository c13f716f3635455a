"""``POST /v1/messages`` without the general way, which costs more than the report itself.

Only what is usual is answered here: a device whose credential is in memory, and a short upload that
can be read. Everything else, each refusal included, goes the general way with its body, so that
there is one place for it; a test holds both to the same answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import looked_up_device
from cloud_hub.errors import HubFault
from cloud_hub.telemetry.envelope import open_upload
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.errors import ContractError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.hub import Hub
    from cloud_hub.telemetry.service import Telemetry
    from edge_sdk.contract.messages import UploadReply

PATH: Final = "/v1/messages"
BEARER: Final = b"Bearer "

SHORT: Final = 64 << 10
"""Bytes of an upload that is opened in the event loop: some milliseconds of work at most."""


async def taken(telemetry: Telemetry, device: EnrolledDevice, raw: bytes) -> UploadReply:
    """Take the body of an upload; short ones are opened in the event loop, long ones in a thread.

    Args:
        telemetry: that takes it.
        device: who sent it.
        raw: the body.

    Raises:
        ContractError: it is no list of messages.
        Unavailable: too much waits, or the database cannot be used.
    """
    if len(raw) <= SHORT:
        opened = open_upload(raw)
        reply = await telemetry.ingest_async(device, opened.upload, len(raw))
    else:
        opened = await run_in_threadpool(open_upload, raw)
        reply = await run_in_threadpool(telemetry.ingest, device, opened.upload)
    if not opened.unreadable:
        return reply
    return replace(reply, rejected=(*opened.unreadable, *reply.rejected))


class UploadFastPath:
    """Middleware that takes short uploads of known devices.

    Args:
        app: the general way.
        hub: that takes them.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app, self._hub = app, hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        token = _token(scope)
        if token is None:
            await self._app(scope, receive, send)
            return
        try:
            device = await looked_up_device(self._hub, token)
        except HubFault as error:
            await _answer(send, error.status, error.as_json(), error.headers)
            return
        if device is None:
            await self._app(scope, receive, send)
            return
        first = await receive()
        raw = first.get("body", b"")
        if first["type"] != "http.request" or first.get("more_body") or len(raw) > SHORT:
            await self._app(scope, _again(first, receive), send)
            return
        try:
            reply = await taken(self._hub.telemetry, device, raw)
        except ContractError:
            await self._app(scope, _again(first, receive), send)
        except HubFault as error:
            await _answer(send, error.status, error.as_json(), error.headers)
        else:
            await _answer(send, 200, to_plain(reply), {})


def _token(scope: Scope) -> str | None:
    """Return the credential that an upload shows; ``None`` for whatever is answered elsewhere."""
    if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
        return None
    if scope["query_string"]:
        return None
    shown = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    if not shown.startswith(BEARER):
        return None
    token = shown[len(BEARER) :]
    return token.decode() if token.isascii() else None


def _again(first: Message, receive: Receive) -> Receive:
    """Return a ``receive`` that gives once more what was received already."""
    waiting = [first]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _answer(send: Send, status: int, document: object, headers: Mapping[str, str]) -> None:
    body = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    lines = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    lines += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
