"""Plans and the changes that a person makes to them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.errors import NotFound
from edge_sdk.contract.codec import to_plain

router = APIRouter(prefix="/v1/models/{model}")


@router.get("/plan")
def plan(request: Request, admin: Admin, model: KnownModel) -> dict[str, Any]:
    """The plan in force."""
    found = hub_of(request).plans.current(model)
    if found is None:
        raise NotFound(f"{model}: has no plan yet; promote a version")
    plain: dict[str, Any] = to_plain(found)
    return plain


@router.post("/promote")
def promote(
    request: Request, admin: Admin, model: KnownModel, version: str, reason: str = "by hand"
) -> dict[str, Any]:
    """Let a version serve everybody."""
    made = hub_of(request).plans.promote(model, version, actor=admin, reason=reason)
    plain: dict[str, Any] = to_plain(made)
    return plain


@router.post("/rollback")
def rollback(
    request: Request, admin: Admin, model: KnownModel, reason: str = "by hand"
) -> dict[str, Any]:
    """End the experiment, or go back to what served before."""
    plain: dict[str, Any] = to_plain(
        hub_of(request).plans.rollback(model, actor=admin, reason=reason)
    )
    return plain


@router.post("/canary")
def canary(request: Request, admin: Admin, model: KnownModel, version: str) -> dict[str, Any]:
    """Try a version on the first step's share of the fleet."""
    return asdict(hub_of(request).experiments.canary(model, version, actor=admin))
