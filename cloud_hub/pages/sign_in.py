"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from cloud_hub.api.form_body import FormFields, form_of
from cloud_hub.errors import Unauthenticated
from cloud_hub.web.access import Posted, end_session, start_session
from cloud_hub.web.frame import FRAME, done, local_path, page_router, see_other

router = page_router()

NextPage = Annotated[str, Query(alias="next", max_length=2_000)]


@router.get("/sign-in")
def sign_in(request: Request, then: NextPage = "/") -> Response:
    """Ask for a token."""
    return _form(request, then)


@router.post("/sign-in")
def enter(request: Request, form: Annotated[FormFields, Depends(form_of)]) -> Response:
    """Sign somebody in, and show what they came for."""
    response = see_other(local_path(form.get("next", "/")))
    try:
        start_session(request, response, form.get("token", "").strip())
    except Unauthenticated as error:
        return _form(request, form.get("next", "/"), str(error), 401)
    return response


@router.post("/sign-out")
def leave(request: Request, form: Posted) -> Response:
    """Sign somebody out."""
    response = done("/sign-in", "You are signed out.")
    end_session(request, response)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _form(request: Request, next_: str, reason: str = "", status: int = 200) -> Response:
    return FRAME.render(
        request, None, "sign_in.html", title="Sign in", status=status, next=local_path(next_),
        reason=reason, provider=None,
    )  # fmt: skip
