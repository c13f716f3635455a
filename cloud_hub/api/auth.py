"""Who is asking: FastAPI dependencies for administrators and devices."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from cloud_hub.database.records import DeviceRecord
from cloud_hub.errors import Forbidden

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

ADMIN = "admin"


def bearer(request: Request) -> str:
    """The bearer token of a request; raises Forbidden."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Forbidden("expected a header Authorization: Bearer TOKEN")
    return token


def hub_of(request: Request) -> Hub:
    """The hub that serves a request."""
    hub: Hub = request.app.state.hub
    return hub


def admin(request: Request) -> str:
    """The name of the administrator who asks; raises Forbidden."""
    expected = (hub_of(request).settings.data / "admin.token").read_text().strip()
    if not hmac.compare_digest(bearer(request).encode(), expected.encode()):
        raise Forbidden("admin token: wrong; it is in the file admin.token of the hub's data")
    return ADMIN


def device(request: Request) -> DeviceRecord:
    """The device that asks; raises Forbidden."""
    return hub_of(request).fleet.authenticate(bearer(request))


Admin = Annotated[str, Depends(admin)]
Device = Annotated[DeviceRecord, Depends(device)]
"""For the signatures of routes."""
