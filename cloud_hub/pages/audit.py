"""The audit: who did what, when and why."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.database.audit import AuditEntry
from cloud_hub.web.access import Viewer
from cloud_hub.web.frame import Pages, page_router
from cloud_hub.web.numbers import time_text

router = page_router()
PAGES: Final = Pages("cloud_hub.pages")
ROWS = 100
Text = Annotated[str, Query(max_length=200)]


@router.get("/audit")
def audit(
    request: Request,
    user: Viewer,
    model: Text = "",
    action: Text = "",
    actor: Text = "",
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Response:
    """Show entries, newest first.

    Args:
        request: leads to the hub.
        user: who looks.
        model: that they concern; empty for all.
        action: that they are of; empty for all.
        actor: who acted; empty for all.
        before: number of the entry below which they are.
    """
    hub = hub_of(request)
    entries = hub.audit.entries(
        model or None,
        ROWS + 1,
        action=action or None,
        actor=actor or None,
        before=before,
        models=user.person.models,
    )[::-1]
    filters = {name: value for name, value in
               (("model", model), ("action", action), ("actor", actor)) if value}  # fmt: skip
    call = {name: value for name, value in filters.items() if name == "model"} | {"limit": ROWS}
    older = entries[ROWS - 1].id if len(entries) > ROWS else None
    return PAGES.render(
        request, user, "audit.html", title="Audit", nav="audit", entries=entries[:ROWS],
        models=list(filter(user.sees, hub.registry.models())),
        filters={"model": model, "action": action, "actor": actor},
        call=f"/v1/audit?{urlencode(call)}", fields=fields, before=before,
        older=f"/audit?{urlencode(filters | {'before': older})}" if older else None,
    )  # fmt: skip


def fields(entry: AuditEntry) -> list[tuple[str, str]]:
    """Return what an entry says besides, as (name, text) in its order; nothing of what is empty."""
    # A number that is 0 says something; a list without entries does not.
    return [
        (name.removesuffix("_at").replace("_", " "), _text(value, name))
        for name, value in entry.detail.items()
        if value or (isinstance(value, int | float) and not isinstance(value, bool))
    ]


def _text(value: object, name: str = "") -> str:
    if isinstance(value, float):
        return time_text(value) if name.endswith("_at") else f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
