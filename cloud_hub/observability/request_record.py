"""The outermost middleware: names each request, and counts and times each answer."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from cloud_hub.api.device_posts import GROUP
from cloud_hub.observability.request_ids import CURRENT, HEADER, request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cloud_hub.observability.metrics import HubMetrics

log = logging.getLogger(__name__)

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
OTHER: Final = "other"
_NAME: Final = HEADER.lower().encode()


class RequestRecord:
    """Middleware around all others.

    Args:
        app: the others.
        metrics: what is counted.
    """

    def __init__(self, app: ASGIApp, metrics: HubMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on under its name."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _NAME), None)
        name, status, begin = request_id(given), 500, time.perf_counter()

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (_NAME, name.encode())]
            await send(message)

        token = CURRENT.set(name)
        try:
            await self._app(scope, receive, named)
        finally:
            seconds = time.perf_counter() - begin
            method = scope["method"] if scope["method"] in METHODS else OTHER
            self._metrics.answered(_group(scope), method, status, seconds)
            if log.isEnabledFor(logging.DEBUG):
                # Not the query: it may hold what somebody does not want in a log.
                text = "%s %s answered %d in %.1f ms"
                log.debug(text, method, scope["path"], status, 1_000 * seconds)
            CURRENT.reset(token)


def _group(scope: Scope) -> str:
    """The group of the route that answered; all paths without one are one group, or strangers could
    make as many series as they can think of paths.
    """
    if GROUP in scope:
        return str(scope[GROUP])
    route = scope.get("route")
    return group_of(route.path) if route is not None else OTHER


def group_of(path: str) -> str:
    """Return the group of a route: what it is about.

    Args:
        path: of the route, with the names of its parameters.
    """
    parts = path.removeprefix("/v1").strip("/").split("/")
    # Nearly all is about a model: what of it, then.
    return parts[2] if len(parts) > 2 and parts[0] == "models" else parts[0]
