"""Destinations of alerts over HTTP: administrators decide who is told, everybody may see it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response

from cloud_hub.alerts.rules import AlertRules
from cloud_hub.api.auth import Admin, Viewer, hub_of
from cloud_hub.api.request_body import Limit, message
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document, as_documents

router = HubRouter(prefix="/v1/alerts")


LONGEST_BODY: Final = 16 << 10


@dataclass(frozen=True)
class WantedDestination(AlertRules):
    """A new destination: its rules, and where it is."""

    kind: str = "webhook"
    url: str = ""

    @property
    def rules(self) -> AlertRules:
        """Its rules alone."""
        return AlertRules(**{each.name: getattr(self, each.name) for each in fields(AlertRules)})


async def _rules(request: Request) -> AlertRules:
    return await message(request, AlertRules, LONGEST_BODY)


async def _destination(request: Request) -> WantedDestination:
    return await message(request, WantedDestination, LONGEST_BODY)


Rules = Annotated[AlertRules, Depends(_rules)]
NewDestination = Annotated[WantedDestination, Depends(_destination)]


@router.get("/destinations")
def destinations(request: Request, person: Viewer) -> list[Document]:
    """Return all destinations with how far they are; what may be secret in a URL is left out."""
    return as_documents(hub_of(request).alerts.status())


@router.post("/destinations/{name}", status_code=201)
def add(request: Request, admin: Admin, name: str, wanted: NewDestination) -> dict[str, Any]:
    """Add a destination; the answer has the secret of a webhook, which nothing shows again."""
    service = hub_of(request).alerts
    secret = service.add(name, wanted.kind, wanted.url, wanted.rules, actor=admin)
    return {"name": name, "secret": secret}


@router.put("/destinations/{name}/rules", status_code=204)
def change(request: Request, admin: Admin, name: str, wanted: Rules) -> Response:
    """Replace the rules of a destination."""
    hub_of(request).alerts.change(name, wanted, actor=admin)
    return Response(status_code=204)


@router.delete("/destinations/{name}", status_code=204)
def remove(request: Request, admin: Admin, name: str) -> Response:
    """Remove a destination."""
    hub_of(request).alerts.remove(name, actor=admin)
    return Response(status_code=204)


@router.post("/destinations/{name}/test")
def test(request: Request, admin: Admin, name: str) -> Document:
    """Send a made-up event now, and return what became of it."""
    return as_document(hub_of(request).alerts.test(name, actor=admin))


@router.post("/destinations/{name}/secret")
def rotate(request: Request, admin: Admin, name: str) -> dict[str, str]:
    """Return a new secret of a webhook; the one before signs for another day."""
    return {"name": name, "secret": hub_of(request).alerts.rotate(name, actor=admin)}


@router.post("/destinations/{name}/silence", status_code=204)
def silence(
    request: Request,
    admin: Admin,
    name: str,
    seconds: Annotated[float, Query(ge=0, allow_inf_nan=False)],
    reason: Annotated[str, Query(min_length=1, max_length=500)],
) -> Response:
    """Send nothing for a while, and what happened afterwards; 0 seconds end a silence."""
    hub_of(request).alerts.silence(name, seconds, actor=admin, reason=reason)
    return Response(status_code=204)


@router.post("/destinations/{name}/resume", status_code=204)
def resume(request: Request, admin: Admin, name: str, skip: bool = False) -> Response:
    """Try again at once; with ``skip`` what waits is left out."""
    hub_of(request).alerts.resume(name, actor=admin, skip=skip)
    return Response(status_code=204)


@router.get("/destinations/{name}/deliveries")
def deliveries(request: Request, person: Viewer, name: str, limit: Limit = 100) -> list[Document]:
    """Return the newest tries, oldest first."""
    return as_documents(hub_of(request).alerts.deliveries(name, limit))
