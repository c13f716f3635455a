"""Is the hub up, and does its loop run without errors?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.api.auth import hub_of

router = APIRouter(prefix="/v1")


@router.get("/health")
def health(request: Request) -> dict[str, Any]:
    """The hub answers; ``loop`` names the parts of its loop that fail, with the error of each."""
    return {"ok": True, "loop": hub_of(request).loop.errors}
