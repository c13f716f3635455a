"""Who is asking: FastAPI dependencies for administrators and devices."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from cloud_hub.errors import Forbidden, HubFault
from cloud_hub.fleet.service import DeviceRecord
from edge_sdk.files import write_atomic

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

ADMIN = "admin"


def new_admin_token(path: Path) -> None:
    """Write a new administrator's token to ``path``, readable by the owner only."""
    write_atomic(path, secrets.token_urlsafe(32).encode())
    path.chmod(0o600)


def check_admin_token(path: Path) -> None:
    """Raise HubFault unless an administrator could show what is in ``path``."""
    try:
        usable = bool(path.read_text().strip())
    except (OSError, UnicodeDecodeError):
        usable = False
    if not usable:
        raise HubFault(f"{path}: expected the administrator's token; write a long secret into it")


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
