"""Packs and the audit log, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.auth import Admin, hub_of
from cloud_hub.bodies import Limit
from cloud_hub.known import KnownModel

router = APIRouter(prefix="/v1")


@router.get("/models/{model}/packs")
def packs(request: Request, admin: Admin, model: KnownModel) -> list[dict[str, Any]]:
    """Every pack of a model."""
    return [asdict(record) for record in hub_of(request).packs.records(model)]


@router.get("/audit")
def audit(
    request: Request, admin: Admin, model: str | None = None, limit: Limit = 200
) -> list[dict[str, Any]]:
    """Who did what, when, and why."""
    return hub_of(request).audit.entries(model, limit)


@router.get("/health")
def health(request: Request) -> dict[str, Any]:
    """Whether the hub is up, and what its loop complains of."""
    return {"ok": True, "loop": hub_of(request).loop.errors}
