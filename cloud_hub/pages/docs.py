"""``/docs`` and ``/openapi.json``, for people only: strangers need not know what there is.

``/docs`` is a page as the others are. For the other one, who has not signed in is asked for a name
and a password: any name, and a token.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse

from cloud_hub.api.auth import current_person, hub_of, is_admin
from cloud_hub.api.declared import asks_for
from cloud_hub.api.roles import Role
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import Unauthenticated
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import Pages, page_router

router = HubRouter(include_in_schema=False)
pages = page_router()
PAGES: Final = Pages("cloud_hub.pages")


class _BrowserUnauthenticated(Unauthenticated):
    """As :class:`Unauthenticated`; a browser then asks its user."""

    @property
    def headers(self) -> dict[str, str]:
        """Both ways that these pages take."""
        return {"WWW-Authenticate": 'Basic realm="edge-hub", Bearer realm="edge-hub"'}


@asks_for(Role.VIEWER.word)
def _reader(request: Request) -> None:
    hub, password = hub_of(request), _password(request.headers.get("Authorization", ""))
    if password is not None:
        person = None if is_admin(hub, password) else hub.people.of_token(password)
        known = is_admin(hub, password) or (person is not None and person.may(Role.VIEWER))
    else:
        known = current_person(request) is not None
    if not known:
        raise _BrowserUnauthenticated("expected the administrator's token, or a person's")


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


@pages.get("/docs")
def docs(request: Request, user: Viewer) -> HTMLResponse:
    """Show it."""
    return PAGES.render(request, user, "docs.html", title="API", nav="docs")


router.routes.extend(pages.routes)
