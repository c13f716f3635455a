"""The fleet: how many devices are on what, and how they are."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.fleet.search import parse_search, quoted
from cloud_hub.pages.fleet_reading import STATES, fleet_now
from cloud_hub.pages.fleet_view import fleet_view
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import Pages, done, page_router

router = page_router()
PAGES: Final = Pages("cloud_hub.pages")

PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]
Text = Annotated[str, Query(max_length=500)]


@router.get("/fleet")
def fleet(
    request: Request, user: Viewer, q: Text = "", by: Text = "", page: PageNumber = 1
) -> Response:
    """Show the fleet.

    Args:
        request: leads to the hub.
        user: who looks.
        q: a search.
        by: attribute of the picture of cohorts.
        page: of the list.
    """
    whole = fleet_now(request).seen_by(user.sees)
    groups = hub_of(request).fleet.groups.list()
    view = fleet_view(whole, parse_search(q), by, page)
    return PAGES.render(
        request, user, "fleet.html", title="Fleet", nav="fleet", view=view, q=q, now=whole.at,
        words=STATES, call=_call(q), quoted=quoted, groups=groups,
        link=lambda **more: "/fleet?" + urlencode({"q": q, "by": view.by} | more),
        chosen=next((g for g in groups if g.search == q), None),
        narrowed=lambda term: "/fleet?" + urlencode({"q": f"{q} {term}".strip()}),
    )  # fmt: skip


@router.get("/fleet/groups/new")
def ask_group(request: Request, user: Viewer, q: Text = "") -> Response:
    """Ask for the name of a search."""
    user.require_anywhere("operator")
    return PAGES.render(
        request, user, "ask.html", title="Save this search", nav="fleet",
        lines=[f"The devices that {q} finds, now and later, are a group."],
        action="/fleet/groups/new", back=f"/fleet?{urlencode({'q': q})}", hidden=[("search", q)],
        fields=[("name", "Name of the group", "text", "", True)], submit="Save", tone="primary",
    )  # fmt: skip


@router.post("/fleet/groups/new")
def save_group(request: Request, user: Viewer, form: Posted) -> Response:
    """Save a search as a group."""
    user.require_anywhere("operator")
    groups = hub_of(request).fleet.groups
    group = groups.save(form.text("name"), form.text("search"), actor=user.name)
    there = f"/fleet?{urlencode({'q': group.search})}"
    return done(there, f"The search is the group {group.name}.")


@router.post("/fleet/groups/{group}/remove")
def remove_group(request: Request, user: Viewer, form: Posted, group: str) -> Response:
    """Remove a group."""
    user.require_anywhere("operator")
    hub_of(request).fleet.groups.remove(group, actor=user.name)
    return done("/fleet", f"The group {group} is gone. Its devices stay as they are.")


def _call(search: str) -> str:
    return "/v1/devices" + (f"?{urlencode({'search': search})}" if search else "")
