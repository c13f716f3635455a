"""The audit log, for administrators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.request_body import Limit

router = APIRouter(prefix="/v1")


@router.get("/audit")
def audit(
    request: Request, admin: Admin, model: str | None = None, limit: Limit = 200
) -> list[dict[str, Any]]:
    """Who did what, when, and why."""
    return hub_of(request).audit.entries(model, limit)
