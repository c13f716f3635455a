"""Authentication: FastAPI dependencies for routes of administrators and of devices."""

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
    """Return the bearer token of a request; raises Forbidden."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Forbidden("expected a header Authorization: Bearer TOKEN")
    return token


def hub_of(request: Request) -> Hub:
    """Return the hub that serves a request."""
    hub: Hub = request.app.state.hub
    return hub


def admin(request: Request) -> str:
    """Return the name of the administrator who asks; raises Forbidden."""
    # Read at each request: a token that is replaced in the file is void at once.
    expected = (hub_of(request).settings.data / "admin.token").read_text().strip()
    # In constant time: how long a comparison takes would give the token away, byte by byte.
    if not hmac.compare_digest(bearer(request).encode(), expected.encode()):
        raise Forbidden("admin token: wrong; it is in the file admin.token of the hub's data")
    return ADMIN


def device(request: Request) -> DeviceRecord:
    """Return the device that asks; raises Forbidden."""
    return hub_of(request).fleet.authenticate(bearer(request))


Admin = Annotated[str, Depends(admin)]
"""In a route's signature: administrators only; the argument is their name."""

Device = Annotated[DeviceRecord, Depends(device)]
"""In a route's signature: devices only; the argument is the one that asks."""
