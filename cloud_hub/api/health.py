"""The hub's own health: a load balancer has no token, so that it is up is for everybody."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.api.auth import Stranger, hub_of, is_admin, optional_bearer

router = APIRouter(prefix="/v1")


@router.get("/health")
def health(request: Request, stranger: Stranger) -> Any:
    """Answer that the hub is up; administrators learn what fails, part by part of the loop."""
    hub = hub_of(request)
    if not is_admin(hub, optional_bearer(request)):
        return {"ok": True}
    return {"ok": True, "loop": hub.loop.errors}
