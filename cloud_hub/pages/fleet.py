"""The fleet: how many devices are on what, and how they are."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from cloud_hub.fleet.search import parse_search, quoted
from cloud_hub.pages.fleet_reading import STATES, fleet_now
from cloud_hub.pages.fleet_view import fleet_view
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import Pages, page_router

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
    view = fleet_view(whole, parse_search(q), by, page)
    return PAGES.render(
        request, user, "fleet.html", title="Fleet", nav="fleet", view=view, q=q, now=whole.at,
        words=STATES, call=_call(parse_search(q).model), quoted=quoted,
        link=lambda **more: "/fleet?" + urlencode({"q": q, "by": view.by} | more),
        narrowed=lambda term: "/fleet?" + urlencode({"q": f"{q} {term}".strip()}),
    )  # fmt: skip


def _call(model: str | None) -> str:
    return "/v1/devices" + (f"?{urlencode({'model': model})}" if model else "")
