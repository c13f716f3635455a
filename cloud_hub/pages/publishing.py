"""How a version is published: by a command, since the key that signs it is no hub's business."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import Pages, page_router

router = page_router()
PAGES = Pages("cloud_hub.pages")


@router.get("/publishing")
def publishing(
    request: Request, user: Viewer, model: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """Show the commands that publish a version at this hub, and whose key signs.

    Args:
        request: leads to the hub, at the address that the browser knows it by.
        user: who looks.
        model: that a new version is for; empty for a new model.
    """
    roles = {role.role: role for role in hub_of(request).keys.status().roles}
    return PAGES.render(
        request, user, "publishing.html", title="Publish a version", nav="models", model=model,
        address=str(request.base_url).rstrip("/"), key=roles.get("releases"),
        may=user.may("publisher", model or None),
    )  # fmt: skip
