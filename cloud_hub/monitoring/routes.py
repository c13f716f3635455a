"""Findings of monitoring, and acknowledgements of its alarms, for administrators."""

from __future__ import annotations

from fastapi import Request, Response

from cloud_hub.api.auth import Operator, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Limit, Moment
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document, as_documents

router = HubRouter(prefix="/v1/models/{model}/monitor")


@router.get("")
def status(request: Request, person: Viewer, model: KnownModel) -> Document:
    """Open alarms, and every signal as the newest window has it."""
    return as_document(hub_of(request).monitoring.status(model))


@router.get("/history")
def history(
    request: Request,
    person: Viewer,
    model: KnownModel,
    signal: str | None = None,
    since: Moment = 0.0,
    limit: Limit = 1_000,
) -> list[Document]:
    """Figures by signal and window, oldest first."""
    service = hub_of(request).monitoring
    return as_documents(service.history(model, signal=signal, since=since, limit=limit))


@router.get("/alarms")
def alarms(
    request: Request,
    person: Viewer,
    model: KnownModel,
    since: Moment = 0.0,
    everything: bool = False,
) -> list[Document]:
    """Alarms of the serving version; with ``everything`` also those that were acknowledged."""
    service = hub_of(request).monitoring
    return as_documents(service.alarms(model, since, open_only=not everything))


@router.post("/acknowledge", status_code=204)
def acknowledge(
    request: Request, person: Operator, model: KnownModel, signal: str, rebase: bool = False
) -> Response:
    """Acknowledge an alarm; with ``rebase`` the newest window becomes the reference."""
    hub_of(request).monitoring.acknowledge(model, signal, actor=person, rebase=rebase)
    return Response(status_code=204)
