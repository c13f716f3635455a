"""Polls and signs of life without the general way: routing, validation and threads cost ten times
what the answer does.

Only what is simple is answered here: a device with a valid credential asks for metadata that is in
memory, or says that it is there. Everything else, each refusal but that of its rate included, goes
the general way, so that there is one place for it; a test holds both to the same answers.

Waiting is the one thing that is only here. A device that says ``Prefer: wait=SECONDS`` (RFC 7240)
with the newest ETag is answered when there is a newer timestamp, or when the time is over; in the
general way, as with any cache in between, it is answered at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.errors import TooManyRequests
from cloud_hub.polls.documents import TIMESTAMP, SignedDocument, encoded
from edge_sdk.contract.version import SPREAD

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.hub import Hub

METADATA: Final = "/v1/metadata/"
ALIVE: Final = "/v1/alive"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}\.json")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", re.IGNORECASE)
_READ: Final = frozenset(
    (b"authorization", b"if-none-match", b"accept-encoding", b"range", b"prefer")
)
_WAITED: Final = (b"preference-applied", b"wait")
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Asked(NamedTuple):
    """What a device asks: a file of metadata, or with an empty name nothing, as a sign of life."""

    name: str
    token: str
    etag: bytes
    accepts_zstd: bool
    wait: float


class PollFastPath:
    """Middleware that answers ``GET /v1/metadata/NAME`` and ``POST /v1/alive`` where it can.

    Args:
        app: the general way.
        hub: that is asked.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        asked = _asked(scope) if scope["type"] == "http" else None
        if asked is not None:
            # For metrics; the seconds of who waits are no latency.
            about = "metadata" if asked.name else "alive"
            scope["edge_hub.group"] = "wait" if asked.wait else about
        answer = None if asked is None else await self._answer(asked)
        if answer is None:
            await self._app(scope, receive, send)
        elif isinstance(answer, SafeJSONResponse):
            await answer(scope, receive, send)
        else:
            status, headers, body = answer
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _answer(self, asked: Asked) -> Answer | SafeJSONResponse | None:
        hub = self._hub
        document = hub.documents.peek(asked.name) if asked.name else None
        if asked.name and document is None:
            return None
        device = hub.fleet.recognise(asked.token) or await self._found(asked.token)
        if device is None:
            return None
        try:
            hub.limits.admit_device(device.device)
        except TooManyRequests as error:
            return SafeJSONResponse(error.as_json(), error.status, headers=dict(error.headers))
        hub.asked.refresh_soon()
        if hub.asked.is_due(device.device, waits=asked.wait > 0):
            return None
        hub.fleet.sightings.note(device.device)
        hub.pace.came()
        if document is None:
            return 204, list(encoded(hub.pace.told())), b""
        form = document.form(asked.accepts_zstd)
        if asked.etag == form.etag and asked.wait and asked.name == TIMESTAMP:
            return await self._waited(asked, device, document)
        return self._form(document, asked)

    async def _found(self, token: str) -> EnrolledDevice | None:
        try:
            return await self._hub.credentials.ask(token)
        except SQLAlchemyError:
            return None  # the general way says why

    async def _waited(
        self, asked: Asked, device: EnrolledDevice, known: SignedDocument
    ) -> Answer | None:
        hub = self._hub
        hub.load.leave("poll")  # it costs nothing while it waits
        try:
            spread = await hub.waiters.wait(device.device, known, asked.wait)
        finally:
            hub.load.under_way["poll"] += 1
        newest = hub.documents.timestamp()
        # The device may have been revoked while it waited: then the general way says so.
        if newest is None or hub.fleet.recognise(asked.token) is None:
            known_still = await self._found(asked.token)
            if newest is None or known_still is None:
                return None
        if hub.asked.is_due(device.device, waits=True):
            return None
        hub.fleet.sightings.note(device.device)
        status, headers, body = self._form(newest, asked)
        if spread is not None:
            headers.append(_WAITED)
        if spread and status == 200:
            headers += encoded({SPREAD: str(spread)})
        return status, headers, body

    def _form(self, document: SignedDocument, asked: Asked) -> Answer:
        form = document.form(asked.accepts_zstd)
        told = encoded(self._hub.pace.told())
        if asked.etag == form.etag:
            return 304, [*form.unchanged, *told], b""
        return 200, [*form.whole, *told], form.body


def _asked(scope: Scope) -> Asked | None:
    """Read a request; ``None`` if it is for the general way."""
    path, method, name = scope["path"], scope["method"], ""
    if scope["query_string"] or (scope.get("raw_path") or b"").partition(b"?")[0] != path.encode():
        return None
    if method == "GET" and path.startswith(METADATA):
        name = path[len(METADATA) :]
        if _NAME.fullmatch(name) is None:
            return None
    elif method != "POST" or path != ALIVE:
        return None
    headers: dict[bytes, bytes] = {}
    for key, value in scope["headers"]:
        if key in _READ:
            headers.setdefault(key, value)
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token or b"range" in headers:
        return None
    prefer = headers.get(b"prefer")
    found = None if prefer is None else _WAIT.search(prefer.decode("latin-1"))
    return Asked(
        name, token, headers.get(b"if-none-match", b""),
        b"zstd" in headers.get(b"accept-encoding", b""), float(found[1]) if found else 0.0,
    )  # fmt: skip
