"""What monitoring found, and answers to its alarms, for administrators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Limit

router = APIRouter(prefix="/v1/models/{model}/monitor")


@router.get("")
def status(request: Request, admin: Admin, model: KnownModel) -> dict[str, Any]:
    """Open alarms, and every signal as the newest window has it."""
    return hub_of(request).monitoring.status(model)


@router.get("/history")
def history(
    request: Request,
    admin: Admin,
    model: KnownModel,
    signal: str | None = None,
    since: float = 0.0,
    limit: Limit = 1_000,
) -> list[dict[str, Any]]:
    """Figures by signal and window, oldest first."""
    return hub_of(request).monitoring.history(model, signal=signal, since=since, limit=limit)


@router.get("/alarms")
def alarms(
    request: Request, admin: Admin, model: KnownModel, since: float = 0.0, everything: bool = False
) -> list[dict[str, Any]]:
    """Alarms of the serving version with their evidence; with ``everything`` also answered ones."""
    found = hub_of(request).monitoring.alarms(model, since, open_only=not everything)
    return [vars(alarm) for alarm in found]


@router.post("/acknowledge", status_code=204)
def acknowledge(
    request: Request, admin: Admin, model: KnownModel, signal: str, rebase: bool = False
) -> Response:
    """Answer an alarm; with ``rebase`` how it is now becomes what is normal."""
    hub_of(request).monitoring.acknowledge(model, signal, actor=admin, rebase=rebase)
    return Response(status_code=204)
