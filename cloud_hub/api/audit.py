"""The audit log, for people: those with rights on some models read what concerns these."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Request

from cloud_hub.api.auth import ViewerOfSome, hub_of, may_see
from cloud_hub.api.request_body import Limit, Moment
from cloud_hub.api.router import HubRouter

router = HubRouter(prefix="/v1")


@router.get("/audit")
def audit(
    request: Request,
    person: ViewerOfSome,
    model: str | None = None,
    since: Moment | None = None,
    limit: Limit = 200,
) -> list[Any]:
    """Return who did what, when, and why: the newest entries, oldest first.

    Args:
        request: leads to the hub.
        person: who asks.
        model: that the entries concern; default all.
        since: first moment, Unix seconds.
        limit: at most so many.
    """
    entries = hub_of(request).audit.entries(model, limit, since=since)
    return [asdict(entry) for entry in entries if may_see(request, entry.model)]
