"""Signing in and out."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from cloud_hub.api.auth import PUBLIC, hub_of
from cloud_hub.errors import Forbidden, Unauthenticated
from cloud_hub.people.cookies import safe_next, sign_out
from cloud_hub.people.cookies import sign_in as start_session
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import FRAME, done, page_router, see_other

router = page_router()

NextPage = Annotated[str, Query(alias="next", max_length=2_000)]


@router.get("/sign-in", dependencies=PUBLIC)
def sign_in(request: Request, then: NextPage = "/") -> Response:
    """Ask for a token."""
    return _form(request, then)


@router.post("/sign-in", dependencies=PUBLIC)
def enter(request: Request, form: Posted) -> Response:
    """Sign somebody in, and show what they came for."""
    response = see_other(safe_next(form.get("next", "/")))
    try:
        start_session(request, response, form.get("token", "").strip())
    except (Forbidden, Unauthenticated) as error:
        return _form(request, form.get("next", "/"), str(error), error.status)
    return response


@router.post("/sign-out")
def leave(request: Request, user: Viewer) -> Response:
    """Sign somebody out."""
    response = done("/sign-in", "You are signed out.")
    sign_out(request, response)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _form(request: Request, next_: str, reason: str = "", status: int = 200) -> Response:
    return FRAME.render(
        request, None, "sign_in.html", title="Sign in", status=status, next=safe_next(next_),
        reason=reason, provider=_provider(request, next_),
    )  # fmt: skip


def _provider(request: Request, next_: str) -> str | None:
    """Return where to sign in at the organisation's own provider; ``None`` without one."""
    if hub_of(request).oidc is None:
        return None
    return f"/sign-in/oidc?{urlencode({'next': safe_next(next_)})}"
