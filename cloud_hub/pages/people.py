"""Who may do what, and what lets devices join."""

from __future__ import annotations

import time
from typing import Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.errors import Invalid
from cloud_hub.fleet.tokens import TokenTerms
from cloud_hub.text.durations import parse_duration
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import Pages, done, page_router
from cloud_hub.web.pages import part

router = page_router()
PAGES: Final = Pages("cloud_hub.pages")

MOST_USES: Final = 1_000_000


@router.get("/people")
def people(request: Request, user: Viewer) -> Response:
    """Show people, their tokens, and those of devices."""
    hub = hub_of(request)
    return PAGES.render(
        request, user, "people.html", title="People & tokens", nav="people", now=time.time(),
        tokens=hub.fleet.tokens.list(usable=False)[::-1], made=None,
    )  # fmt: skip


@router.get("/people/enrolment")
def ask_token(request: Request, user: Viewer) -> Response:
    """Ask for the terms of an enrolment token."""
    user.require("administrator")
    models = hub_of(request).registry.models()
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
    user.require("administrator")
    hub = hub_of(request)
    uses = form.text("uses", 12)
    if not uses.isdecimal():
        raise Invalid(f"uses: expected a number, got {uses!r}")
    models = tuple(name.strip() for name in form.text("model").split(",") if name.strip())
    attributes = _attributes(form.get("attributes", ""))
    terms = TokenTerms(models, int(uses), parse_duration(form.text("lasts", 40)), attributes)
    ((_, secret),) = hub.fleet.tokens.make(terms, actor=user.name)
    return PAGES.render(
        request, user, "people.html", title="People & tokens", nav="people", now=time.time(),
        tokens=hub.fleet.tokens.list(usable=False)[::-1], made=secret,
    )  # fmt: skip


@router.get("/people/enrolment/{token}/revoke")
def ask_revoke(request: Request, user: Viewer, token: str) -> Response:
    """Ask before an enrolment token is revoked."""
    user.require("administrator")
    return PAGES.render(
        request, user, "ask.html", title=f"Revoke token {token}?", nav="people",
        lines=["No device can join with it any more. Those that have joined stay."],
        action=f"/people/enrolment/{part(token)}/revoke", back="/people", fields=[], hidden=[],
        submit="Revoke", tone="danger",
    )  # fmt: skip


@router.post("/people/enrolment/{token}/revoke")
def revoke_token(request: Request, user: Viewer, form: Posted, token: str) -> Response:
    """Revoke an enrolment token."""
    user.require("administrator")
    hub_of(request).fleet.tokens.revoke(token, actor=user.name)
    return done("/people", f"No device joins with token {token} any more.")


def _attributes(text: str) -> dict[str, str]:
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise Invalid(f"attributes: expected NAME=VALUE, got {wrong:.80}")
    split = [pair.partition("=") for pair in pairs]
    return {name.strip(): value.strip() for name, _, value in split}
