"""People, their access tokens, and the tokens with which devices join, as lists."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.roles import Role
from cloud_hub.errors import NotFound
from cloud_hub.people.records import TokenWish
from cloud_hub.people.tokens import is_administrator
from cloud_hub.text.durations import parse_duration
from cloud_hub.web.access import FormFields, Posted, Viewer
from cloud_hub.web.frame import Pages, done, page_router
from cloud_hub.web.pages import part

if TYPE_CHECKING:
    from cloud_hub.people.records import PersonRecord

router = page_router()
PAGES: Final = Pages("cloud_hub.pages")
ROLES: Final = tuple(role.word for role in Role)
NEVER_AGAIN: Final = "It is shown this once: the hub keeps only what proves it."


@router.get("/people")
def people(request: Request, user: Viewer) -> Response:
    """Show everybody to administrators, and their own tokens to all."""
    hub, everybody = hub_of(request), is_administrator(user.person)
    return PAGES.render(
        request, user, "people.html", title="People & tokens", nav="people", now=time.time(),
        everybody=everybody, people=hub.people.list() if everybody else [],
        access=hub.people.tokens.list(None if everybody else user.name)[::-1],
        tokens=[
            token for token in hub.fleet.tokens.list(usable=False)[::-1]
            if any(map(user.sees, token.models))
        ],
    )  # fmt: skip


@router.get("/people/new")
def ask_person(request: Request, user: Viewer) -> Response:
    """Ask who joins."""
    user.require("administrator")
    fields = [
        ("name", "Name, as the audit will have it", "text", "", True),
        ("role", "Role", ROLES, "viewer", True),
        ("models", "Models, with commas; empty for all", "text", "", False),
        ("kind", "A person, or a service: a program", ("person", "service"), "person", True),
    ]
    return _ask(
        request, user, "Add a person", "/people/new", "Add", fields,
        lines=["They get in with an access token, which you or they make afterwards."],
    )  # fmt: skip


@router.post("/people/new")
def add_person(request: Request, user: Viewer, form: Posted) -> Response:
    """Add a person or a service account."""
    user.require("administrator")
    added = hub_of(request).people.add(
        form.text("name"), Role.of(form.text("role")), actor=user.name, kind=form.text("kind"),
        models=_models(form),
    )  # fmt: skip
    return done("/people", f"{added.name} is added. Make an access token for them next.")


@router.get("/people/{name}/role")
def ask_role(request: Request, user: Viewer, name: str) -> Response:
    """Ask for another role."""
    user.require("administrator")
    record = _record(request, name)
    fields = [
        ("role", "Role", ROLES, record.role, True),
        ("models", "Models, with commas; empty for all", "text",
         ", ".join(record.models or ()), False),
    ]  # fmt: skip
    return _ask(
        request, user, f"Change {name}", f"/people/{part(name)}/role", "Change", fields,
        lines=["It holds at once, for tokens and sessions that they have, too."],
    )  # fmt: skip


@router.post("/people/{name}/role")
def change_role(request: Request, user: Viewer, form: Posted, name: str) -> Response:
    """Give a person another role."""
    user.require("administrator")
    role = Role.of(form.text("role"))
    changed = hub_of(request).people.change(name, role, _models(form), actor=user.name)
    return done("/people", f"{changed.name} is {changed.role} now.")


@router.get("/people/{name}/disable")
def ask_disable(request: Request, user: Viewer, name: str) -> Response:
    """Ask before a person is let in no more."""
    user.require("administrator")
    _record(request, name)
    return _ask(
        request, user, f"Disable {name}?", f"/people/{part(name)}/disable", "Disable",
        [("reason", "Reason, for the audit", "text", "", True)], tone="danger",
        lines=["Their tokens and sessions are void at once. The audit keeps their name."],
    )  # fmt: skip


@router.post("/people/{name}/disable")
def disable(request: Request, user: Viewer, form: Posted, name: str) -> Response:
    """Let a person in no more."""
    user.require("administrator")
    hub_of(request).people.disable(name, reason=form.text("reason"), actor=user.name)
    return done("/people", f"{name} is let in no more.")


@router.post("/people/{name}/enable")
def enable(request: Request, user: Viewer, form: Posted, name: str) -> Response:
    """Let a person in again."""
    user.require("administrator")
    hub_of(request).people.enable(name, actor=user.name)
    return done("/people", f"{name} may come in again.")


@router.get("/people/access-tokens")
def ask_access(request: Request, user: Viewer) -> Response:
    """Ask for the terms of an access token."""
    whose = [("of", "Whose; empty for yours", "text", "", False)]
    fields = [
        ("name", "What it is for", "text", "", True),
        ("role", "The most that it may do", ("", *ROLES), "", False),
        ("lasts", "For how long, such as 30d", "text", "90d", True),
        *(whose if is_administrator(user.person) else []),
    ]
    return _ask(
        request, user, "New access token", "/people/access-tokens", "Make it", fields,
        lines=["Whoever has it acts in its owner's name. " + NEVER_AGAIN],
    )  # fmt: skip


@router.post("/people/access-tokens")
def make_access(request: Request, user: Viewer, form: Posted) -> Response:
    """Make an access token, and show it this once."""
    word = form.get("role", "").strip()
    wish = TokenWish(
        form.text("name"), form.get("of", "").strip(), Role.of(word) if word else None, None,
        parse_duration(form.text("lasts", 40)),
    )  # fmt: skip
    record, secret = hub_of(request).people.tokens.make(wish, by=user.person)
    return PAGES.render(
        request, user, "made.html", title="Access token", nav="people", secret=secret,
        says=f"The access token of {record.person} is made. {NEVER_AGAIN}",
        use="edge-hub login URL, or the page's sign-in",
    )  # fmt: skip


@router.get("/people/access-tokens/{token}/revoke")
def ask_revoke(request: Request, user: Viewer, token: str) -> Response:
    """Ask before an access token is revoked."""
    return _ask(
        request, user, f"Revoke token {token}?", f"/people/access-tokens/{part(token)}/revoke",
        "Revoke", [], tone="danger",
        lines=["Whoever uses it is refused at once, and sessions that began with it end."],
    )  # fmt: skip


@router.post("/people/access-tokens/{token}/revoke")
def revoke_access(request: Request, user: Viewer, form: Posted, token: str) -> Response:
    """Revoke an access token."""
    hub_of(request).people.tokens.revoke(token, by=user.person)
    return done("/people", f"Token {token} is revoked.")


def _ask(
    request: Request,
    user: Viewer,
    title: str,
    action: str,
    submit: str,
    fields: Sequence[tuple[str, str, Sequence[str], str, bool]],
    *,
    lines: list[str],
    tone: str = "primary",
) -> Response:
    return PAGES.render(
        request, user, "ask.html", title=title, nav="people", lines=lines, action=action,
        back="/people", fields=fields, hidden=[], submit=submit, tone=tone,
    )  # fmt: skip


def _models(form: FormFields) -> tuple[str, ...] | None:
    names = tuple(name.strip() for name in form.get("models", "").split(",") if name.strip())
    return names or None


def _record(request: Request, name: str) -> PersonRecord:
    found = next((each for each in hub_of(request).people.list() if each.name == name), None)
    if found is None:
        raise NotFound(f"{name:.80}: nobody has this name")
    return found
