"""A client over HTTP: requests are read, checked, answered, one after the other."""

from __future__ import annotations

from typing import Final

from edge_sdk.errors import EdgeError
from edge_sdk.local_server.connection import Connection, ConnectionEnded
from edge_sdk.local_server.http_access import HttpAccess
from edge_sdk.local_server.http_message import (
    EXPANSION,
    HEAD_BYTES,
    HttpHead,
    HttpResponse,
    decompressed,
    parse_head,
)
from edge_sdk.local_server.http_routes import HttpRoutes
from edge_sdk.local_server.limits import ByteBudget, ServerLimits
from edge_sdk.local_server.refusal import (
    FAILED,
    HEAD_TOO_LARGE,
    TOO_LARGE,
    RequestRefused,
    status_of,
)
from edge_sdk.local_server.server_metrics import ServerMetrics
from edge_sdk.system.logs import Log

_log = Log(__name__)

_END: Final = b"\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
PROTOCOL: Final = "http"


class HttpService:
    """Serves connections of one server over HTTP.

    Args:
        routes: answer.
        access: who may ask.
        limits: of the server.
        budget: of all bodies.
        metrics: counts.
    """

    def __init__(
        self,
        routes: HttpRoutes,
        access: HttpAccess,
        limits: ServerLimits,
        budget: ByteBudget,
        metrics: ServerMetrics,
    ) -> None:
        self._routes = routes
        self._access = access
        self._limits = limits
        self._budget = budget
        self._metrics = metrics

    def serve(self, connection: Connection) -> None:
        """Answer requests until the client or a refusal ends the connection."""
        connection.serve(self._exchange)

    def _exchange(self, connection: Connection) -> bool:
        """Read a request and answer it; return True if there may be another."""
        head: HttpHead | None = None
        is_read = False
        allowed: tuple[tuple[str, str], ...] = ()
        try:
            head = _read_head(connection)
            allowed = self._access.check(head.headers)
            with self._budget.taken(self._body_bytes(head)):
                body = _read_body(connection, head)
                is_read = True
                connection.answering()
                response = self._answer(head, body)
        except EdgeError as error:
            response = HttpResponse.of_json({"error": str(error)}, status_of(error))
        except ConnectionEnded:
            raise
        except Exception:
            _log.exception("a request to the local server failed")
            response = HttpResponse.of_json(
                {"error": "the server failed; its log says why"}, FAILED
            )
        is_kept = head is not None and is_read and head.is_kept and not connection.is_ending
        self._metrics.answered(PROTOCOL, response.status)
        if allowed:
            response = response._replace(headers=(*response.headers, *allowed))
        connection.send(_sent(response, head, closes=not is_kept))
        return is_kept

    def _answer(self, head: HttpHead, body: bytes) -> HttpResponse:
        if head.method == "OPTIONS":
            return HttpResponse(200, b"", headers=self._access.preflight())
        coding = head.headers.get("content-encoding")
        return self._routes.answer(head, decompressed(body, coding, self._limits.body_bytes))

    def _body_bytes(self, head: HttpHead) -> int:
        """Return the bytes that a request may come to hold."""
        limit = self._limits.body_bytes
        if head.body_bytes > limit:
            raise RequestRefused(
                TOO_LARGE, f"expected a body of at most {limit} bytes, got {head.body_bytes}"
            )
        if "content-encoding" not in head.headers:
            return head.body_bytes
        return min(limit, head.body_bytes * EXPANSION)


def _read_head(connection: Connection) -> HttpHead:
    received = connection.received
    start = 0
    while (end := received.find(_END, start)) < 0:
        if len(received) > HEAD_BYTES:
            break
        start = max(0, len(received) - len(_END) + 1)
        connection.receive()
    if not 0 <= end <= HEAD_BYTES:
        raise RequestRefused(HEAD_TOO_LARGE, f"expected headers of at most {HEAD_BYTES} bytes")
    return parse_head(connection.take(end + len(_END))[:end])


def _read_body(connection: Connection, head: HttpHead) -> bytes:
    if not head.body_bytes:
        return b""
    waits = head.headers.get("expect", "").lower() == "100-continue"
    if waits and len(connection.received) < head.body_bytes:
        connection.send(_CONTINUE)
    return connection.take(head.body_bytes)


def _sent(response: HttpResponse, head: HttpHead | None, *, closes: bool) -> bytes:
    if head is None:
        return response.to_bytes(closes=closes)
    data = response.compressed(head.headers.get("accept-encoding")).to_bytes(closes=closes)
    return data.partition(_END)[0] + _END if head.method == "HEAD" else data
