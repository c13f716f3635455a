"""``/docs`` and ``/openapi.json``, for administrators only: strangers need not know what there is.

A browser asks for a name and a password: any name, and the administrator's token.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse

from cloud_hub.api.auth import hub_of, is_admin, optional_bearer
from cloud_hub.errors import Unauthenticated

router = APIRouter(include_in_schema=False)


class _BrowserUnauthenticated(Unauthenticated):
    """As :class:`Unauthenticated`; a browser then asks its user."""

    @property
    def headers(self) -> dict[str, str]:
        """Both ways that these pages take."""
        return {"WWW-Authenticate": 'Basic realm="edge-hub", Bearer realm="edge-hub"'}


def _reader(request: Request) -> None:
    token = optional_bearer(request) or _password(request.headers.get("Authorization", ""))
    if not is_admin(hub_of(request), token):
        raise _BrowserUnauthenticated("expected the administrator's token")


def _password(header: str) -> str | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return None


Reader = Annotated[None, Depends(_reader)]


@router.get("/openapi.json")
def openapi(request: Request, reader: Reader) -> JSONResponse:
    """Answer with the description of every route."""
    schema: dict[str, Any] = request.app.openapi()
    return JSONResponse(schema)


@router.get("/docs")
def docs(reader: Reader) -> HTMLResponse:
    """Answer with a page that shows it."""
    return get_swagger_ui_html(openapi_url="/openapi.json", title="edge-hub")
