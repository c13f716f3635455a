"""What devices ask most, without the general way: routing, validation and threads cost ten times
what the answer does.

Only what is simple is answered here: a device with a valid credential asks for metadata or a small
target that is in memory, or says that it is there. What is not in memory yet is read once for all
who ask for it. Everything else, each refusal but that of its rate included, goes the general way,
so that there is one place for it; a test holds both to the same answers.

An answer from memory costs no more than a refusal, and less than the connection that whoever was
refused comes with, so nobody is refused one however much the hub has to do. Credentials are looked
up hundreds at a time, at little more; beyond some thousands that wait, admission decides
(:mod:`cloud_hub.polls.admission`).

Waiting is the one thing that is only here. A device that says ``Prefer: wait=SECONDS`` (RFC 7240)
with the newest ETag is answered when there is a newer timestamp, or when the time is over; in the
general way, as with any cache in between, it is answered at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Receive, Scope, Send

from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.errors import HubFault, NotFound, TooManyRequests
from cloud_hub.polls.documents import TIMESTAMP, VERSIONED, SignedDocument, encoded
from edge_sdk.contract.version import SPREAD

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.hub import Hub

METADATA: Final = "/v1/metadata/"
TARGETS: Final = "/v1/targets/"
ALIVE: Final = "/v1/alive"
LOOK_UPS: Final = 5_000
"""Credentials that may wait to be looked up: about a second of work."""

READINGS: Final = 32
"""Files that are read at once for those who ask for them; who asks for others goes the general
way."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}\.json")
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", re.IGNORECASE)
_READ: Final = frozenset(
    (b"authorization", b"if-none-match", b"accept-encoding", b"range", b"prefer")
)
_WAITED: Final = (b"preference-applied", b"wait")
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Asked(NamedTuple):
    """What a device asks: a file by the beginning of its path and its name, or nothing."""

    place: str
    name: str
    token: str
    etag: bytes
    accepts_zstd: bool
    wait: float

    @property
    def group(self) -> str:
        """Return the group for metrics: the seconds of who waits are no latency."""
        return "wait" if self.wait and self.place == METADATA else self.place.split("/")[2]


class PollFastPath:
    """Middleware that answers ``GET /v1/metadata/NAME``, ``GET /v1/targets/PATH`` and
    ``POST /v1/alive`` where it can.

    Args:
        app: the general way.
        hub: that is asked.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub
        self._readings: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        asked = _asked(scope) if scope["type"] == "http" else None
        if asked is not None:
            scope["edge_hub.group"] = asked.group
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
        if asked.place == TARGETS and not hub.small_targets.may_hold(asked.name):
            return None
        device = hub.fleet.recognise(asked.token) or await self._found(asked.token)
        if device is None:
            return None
        if asked.place == TARGETS:
            return await self._target(asked.name, device)
        return await self._poll(asked, device)

    async def _poll(self, asked: Asked, device: EnrolledDevice) -> Answer | SafeJSONResponse | None:
        hub = self._hub
        found = await self._document(asked.name) if asked.name else None
        if asked.name and found is None:
            return None
        if (refusal := self._over_rate(device)) is not None:
            return refusal
        if isinstance(found, NotFound):
            hub.fleet.sightings.note(device.device)
            return SafeJSONResponse(found.as_json(), found.status)
        hub.asked.refresh_soon()
        if hub.asked.is_due(device.device, waits=asked.wait > 0):
            return None
        hub.fleet.sightings.note(device.device)
        hub.pace.came()
        if found is None:
            return 204, list(encoded(hub.pace.told())), b""
        form = found.form(asked.accepts_zstd)
        if asked.etag == form.etag and asked.wait and asked.name == TIMESTAMP:
            return await self._waited(asked, device, found)
        return self._form(found, asked)

    async def _document(self, name: str) -> SignedDocument | NotFound | None:
        """Return a document, or why there is none; ``None`` where the general way knows."""
        documents = self._hub.documents
        found = documents.peek(name)
        if found is not None or VERSIONED.fullmatch(name) is None:
            return found
        if documents.absent(name) is None:
            await self._read(name, documents.get)
        return documents.peek(name) or documents.absent(name)

    async def _target(self, path: str, device: EnrolledDevice) -> Answer | SafeJSONResponse | None:
        hub = self._hub
        if hub.small_targets.peek(path) is None:
            await self._read(path, hub.small_targets.load)
        form = hub.small_targets.peek(path)
        if form is None:
            return None
        if (refusal := self._over_rate(device)) is not None:
            return refusal
        hub.fleet.sightings.note(device.device)
        hub.costs.note_sent(path, len(form.body))
        return 200, list(form.whole), form.body

    def _over_rate(self, device: EnrolledDevice) -> SafeJSONResponse | None:
        try:
            self._hub.limits.admit_device(device.device)
        except TooManyRequests as error:
            return SafeJSONResponse(error.as_json(), error.status, headers=dict(error.headers))
        return None

    async def _found(self, token: str) -> EnrolledDevice | None:
        """Return the device of a credential that is not in memory, if not too many wait."""
        if len(self._hub.credentials) >= LOOK_UPS:
            return None
        return await self._looked_up(token)

    async def _looked_up(self, token: str) -> EnrolledDevice | None:
        try:
            return await self._hub.credentials.ask(token)
        except SQLAlchemyError:
            return None  # the general way says why

    async def _read(self, name: str, read: Callable[[str], object]) -> None:
        """Have a file read on a thread, once for all who ask for it meanwhile."""
        reading = self._readings.get(name)
        if reading is None:
            if len(self._readings) >= READINGS:
                return
            reading = asyncio.create_task(_tried(read, name))
            self._readings[name] = reading
            reading.add_done_callback(lambda _: self._readings.pop(name))
        await asyncio.shield(reading)  # whoever hangs up leaves the others what they wait for

    async def _waited(
        self, asked: Asked, device: EnrolledDevice, known: SignedDocument
    ) -> Answer | None:
        hub = self._hub
        spread = await hub.waiters.wait(device.device, known, asked.wait)
        newest = hub.documents.timestamp()
        # The device may have been revoked while it waited: then the general way says so.
        if newest is None or hub.fleet.recognise(asked.token) is None:
            known_still = await self._looked_up(asked.token)
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


async def _tried(read: Callable[[str], object], name: str) -> None:
    with contextlib.suppress(HubFault, OSError):  # the general way says why
        await run_in_threadpool(read, name)


def _asked(scope: Scope) -> Asked | None:
    """Read a request; ``None`` if it is for the general way."""
    path, method = scope["path"], scope["method"]
    if scope["query_string"] or (scope.get("raw_path") or b"").partition(b"?")[0] != path.encode():
        return None
    place = ALIVE
    if method == "GET":
        place = METADATA if path.startswith(METADATA) else TARGETS
    name = path[len(place) :]
    if not path.startswith(place) or (place == METADATA and _NAME.fullmatch(name) is None):
        return None
    if place == ALIVE and (method != "POST" or name):
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
        place, name, token, headers.get(b"if-none-match", b""),
        b"zstd" in headers.get(b"accept-encoding", b""), float(found[1]) if found else 0.0,
    )  # fmt: skip
