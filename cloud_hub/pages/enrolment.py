"""Tokens with which devices join: made and revoked on a page."""

from __future__ import annotations

from typing import Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.fleet.tokens import TokenTerms
from cloud_hub.text.durations import parse_duration
from cloud_hub.web.access import PageUser, Posted, Viewer
from cloud_hub.web.frame import Pages, done, page_router
from cloud_hub.web.pages import part

router = page_router()
PAGES: Final = Pages("cloud_hub.pages")


@router.get("/people/enrolment")
def ask_token(request: Request, user: Viewer) -> Response:
    """Ask for the terms of an enrolment token."""
    models = [m for m in hub_of(request).registry.models() if user.may("operator", m)]
    if not models:
        user.require("operator")
    fields = [
        ("model", "Model, or several with commas", "text", models[0] if models else "", True),
        ("uses", "Devices that may join with it", "number", "1", True),
        ("lasts", "For how long, such as 24h or 7d", "text", "24h", True),
        ("attributes", "Attributes that they cannot change: region=eu, line=3", "text", "", False),
    ]
    return PAGES.render(
        request, user, "ask.html", title="New enrolment token", nav="people",
        lines=["Whoever has it can let devices join. It is shown once."],
        action="/people/enrolment", back="/people", fields=fields, hidden=[], submit="Make it",
        tone="primary",
    )  # fmt: skip


@router.post("/people/enrolment")
def make_token(request: Request, user: Viewer, form: Posted) -> Response:
    """Make an enrolment token, and show it this once."""
    models = tuple(name.strip() for name in form.text("model").split(",") if name.strip())
    for model in models:
        user.require("operator", model)
    uses = form.text("uses", 12)
    if not (uses.isascii() and uses.isdecimal()):
        raise Invalid(f"uses: expected a number, got {uses!r}")
    attributes = _attributes(form.get("attributes", ""))
    terms = TokenTerms(models, int(uses), parse_duration(form.text("lasts", 40)), attributes)
    ((_, secret),) = hub_of(request).fleet.tokens.make(terms, actor=user.name)
    return PAGES.render(
        request, user, "made.html", title="Enrolment token", nav="people", secret=secret,
        says="The token is made. It is shown this once.", use="edge enrol STATE --token TOKEN",
    )  # fmt: skip


@router.get("/people/enrolment/{token}/revoke")
def ask_revoke(request: Request, user: Viewer, token: str) -> Response:
    """Ask before an enrolment token is revoked."""
    _check(request, user, token)
    return PAGES.render(
        request, user, "ask.html", title=f"Revoke token {token}?", nav="people",
        lines=["No device can join with it any more. Those that have joined stay."],
        action=f"/people/enrolment/{part(token)}/revoke", back="/people", fields=[], hidden=[],
        submit="Revoke", tone="danger",
    )  # fmt: skip


@router.post("/people/enrolment/{token}/revoke")
def revoke_token(request: Request, user: Viewer, form: Posted, token: str) -> Response:
    """Revoke an enrolment token."""
    _check(request, user, token)
    hub_of(request).fleet.tokens.revoke(token, actor=user.name)
    return done("/people", f"No device joins with token {token} any more.")


def _check(request: Request, user: PageUser, token: str) -> None:
    """Raise NotFound or Forbidden unless somebody may revoke a token."""
    every = hub_of(request).fleet.tokens.list(usable=False)
    record = next((each for each in every if each.id == token), None)
    if record is None or not all(map(user.sees, record.models)):
        raise NotFound(f"token {token:.40}: no such token")
    for model in record.models:
        user.require("operator", model)


def _attributes(text: str) -> dict[str, str]:
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise Invalid(f"attributes: expected NAME=VALUE, got {wrong:.80}")
    split = [pair.partition("=") for pair in pairs]
    return {name.strip(): value.strip() for name, _, value in split}
