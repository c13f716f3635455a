"""The one place where the line of a request is judged, before any route reads it.

A path or query that no name, version or digest could have is answered here: what comes through is
text that file systems and databases take. Bodies are bounded where they are read
(:mod:`cloud_hub.api.request_body`), since routes differ in what they take.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from cloud_hub.api.json_response import SafeJSONResponse

PATH_BYTES: Final = 1_024
PART_BYTES: Final = 200
"""Between two slashes; a file name of most file systems has 255 at most."""

QUERY_BYTES: Final = 8_192
_CONTROLS: Final = frozenset(range(0x20)) | {0x7F}


class Refusal(NamedTuple):
    """HTTP status and reason of a request that no route sees."""

    status: int
    reason: str


def refusal_of(path: bytes, query: bytes) -> Refusal | None:
    """Return why a request line is refused; ``None`` if it is fine.

    Args:
        path: as it was sent, percent-encoded.
        query: likewise, without the question mark.
    """
    if len(path) > PATH_BYTES:
        return Refusal(414, f"path: expected at most {PATH_BYTES} bytes, got {len(path)}")
    if len(query) > QUERY_BYTES:
        return Refusal(414, f"query: expected at most {QUERY_BYTES} bytes, got {len(query)}")
    plain = unquote_to_bytes(path)
    if max(map(len, plain.split(b"/"))) > PART_BYTES:
        return Refusal(414, f"path: expected at most {PART_BYTES} bytes between two slashes")
    for what, raw in (("path", plain), ("query", unquote_to_bytes(query))):
        if not _is_text(raw):
            return Refusal(400, f"{what}: expected UTF-8 without control characters")
    return None


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    # A line break or tab is no part of a name, and in a reason it would forge lines of a log.
    return _CONTROLS.isdisjoint(raw)


class RequestLimits:
    """Middleware that answers what :func:`refusal_of` refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, or hand it on."""
        if scope["type"] == "http":
            path = scope.get("raw_path") or scope["path"].encode()
            refusal = refusal_of(path, scope["query_string"])
            if refusal is not None:
                response = SafeJSONResponse({"error": refusal.reason}, refusal.status)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
