"""The hub's own health, for everybody: a load balancer has no token."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.api.auth import hub_of

router = APIRouter(prefix="/v1")


@router.get("/health")
def health(request: Request) -> Any:
    """Answer that the hub is up; ``loop`` has the error of each part of its loop that fails."""
    return {"ok": True, "loop": hub_of(request).loop.errors}
