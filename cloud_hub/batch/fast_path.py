"""Look-ups of one entity without the general way: a tenth of a request's time is the look-up.

Only what is simple is answered here: the administrator asks, and the entity has a precomputed
answer that is valid. Everything else, each refusal included, goes the general way, so that there is
one place for it; a test holds both to the same answers.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from cloud_hub.api.auth import is_admin
from cloud_hub.api.request_limits import refusal_of
from cloud_hub.batch.entity_answer import EntityAnswer, precomputed
from cloud_hub.errors import HubFault

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

PREFIX: Final = "/v1/models/"
MIDDLE: Final = "/predictions/"
BEARER: Final = b"Bearer "


class EntityFastPath:
    """Middleware that answers ``GET /v1/models/M/predictions/ENTITY`` where it can.

    Args:
        app: the general way.
        hub: that is asked; its predictions are in SQLite, which answers in microseconds, so that
            no thread is needed.
    """

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        body = self._body(scope) if _may_be_answered(scope) else None
        if body is None:
            await self._app(scope, receive, send)
            return
        length = b"%d" % len(body)
        headers = [(b"content-length", length), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _body(self, scope: Scope) -> bytes | None:
        path, query = scope.get("raw_path") or b"", scope["query_string"]
        if refusal_of(path.partition(b"?")[0], query) is not None:
            return None
        model, middle, entity = scope["path"][len(PREFIX) :].partition(MIDDLE)
        token = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        if not middle or not entity or not token.startswith(BEARER):
            return None
        try:
            if not is_admin(self._hub, token[len(BEARER) :].decode()):
                return None
            answer = self._answer(model, entity, query)
        except (HubFault, UnicodeDecodeError):
            return None  # the general way says why
        if answer is None:
            return None
        return json.dumps(answer.document(), allow_nan=False, separators=(",", ":")).encode()

    def _answer(self, model: str, entity: str, query: bytes) -> EntityAnswer | None:
        asked = parse_qs(query.decode())
        if not asked.keys() <= {"job"}:
            return None
        job = self._hub.lookups.recent_job(model, asked["job"][0] if asked else None)
        if job is None:
            return None
        generation = self._hub.generations.recent(model, job)
        if generation is None or (generation.record.valid_until or 0.0) <= time.time():
            return None
        values = generation.find([entity]).get(entity)
        return None if values is None else precomputed(generation.record, entity, values)


def _may_be_answered(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    path: str = scope["path"]
    return path.startswith(PREFIX) and MIDDLE in path
