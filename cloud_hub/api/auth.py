"""Authentication: FastAPI dependencies for routes of administrators and of devices.

401 is for who shows nothing, or something wrong; 403 for who is known and may not have this.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.api.token_files import ADMIN_FILE, is_token
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Forbidden, HubFault, Unauthenticated

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

ADMIN = "admin"


def bearer(request: Request) -> str:
    """Return the bearer token of a request; raises Unauthenticated."""
    token = optional_bearer(request)
    if token is None:
        raise Unauthenticated("expected a header Authorization: Bearer TOKEN")
    return token


def optional_bearer(request: Request) -> str | None:
    """Return the bearer token of a request, ``None`` if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token else None


def address_of(request: Request) -> str:
    """Return whom a request comes from, as far as rates go: an address, of IPv6 its network.

    A subscriber has a whole /64 of IPv6 addresses to change between.
    """
    host = request.client.host if request.client is not None else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket file, or a proxy that sends something else
        return host[:64]
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))


def hub_of(request: Request) -> Hub:
    """Return the hub that serves a request."""
    hub: Hub = request.app.state.hub
    return hub


def is_admin(hub: Hub, token: str | None) -> bool:
    """Return whether this is the administrator's token."""
    return token is not None and is_token(hub.settings.data / ADMIN_FILE, token)


def admin(request: Request) -> str:
    """Return the name of the administrator who asks.

    Raises:
        Unauthenticated: no token, or nobody's.
        Forbidden: a device's credential.
    """
    hub, token = hub_of(request), bearer(request)
    if is_admin(hub, token):
        return ADMIN
    if _is_device(hub, token):
        raise Forbidden("this is for administrators, and not for devices")
    raise Unauthenticated("admin token: wrong; it is in the file admin.token of the hub's data")


def device(request: Request) -> EnrolledDevice:
    """Return the device that asks.

    Raises:
        Unauthenticated: no credential, or one that is unknown or expired.
        Forbidden: the device is stopped, or it is the administrator who asks.
        TooManyRequests: the device asks too often.
    """
    hub, token = hub_of(request), bearer(request)
    try:
        record = hub.fleet.authenticate(token)
    except Unauthenticated:
        if is_admin(hub, token):
            raise Forbidden("this is for devices, and not for administrators") from None
        # An expired one is no guess, but whoever sends noise all day is limited as a stranger is.
        hub.limits.admit_stranger(address_of(request))
        raise
    hub.limits.admit_device(record.device)
    hub.fleet.sightings.note(record.device)
    return record


def known_device(hub: Hub, token: str) -> EnrolledDevice | None:
    """Return the device that asks, if its credential was looked up a moment ago.

    For an event loop: it asks no database. Where it returns ``None``, :func:`device` says why, or
    who it is.

    Raises:
        TooManyRequests: the device asks too often.
    """
    record = hub.fleet.recognise(token)
    if record is not None:
        hub.limits.admit_device(record.device)
        hub.fleet.sightings.note(record.device)
    return record


async def looked_up_device(hub: Hub, token: str) -> EnrolledDevice | None:
    """Return the device of a credential: from memory, else looked up together with others.

    Where it returns ``None``, :func:`device` says why, or who it is.

    Raises:
        TooManyRequests: the device asks too often.
    """
    known = known_device(hub, token)
    if known is not None:
        return known
    try:
        await hub.credentials.ask(token)
    except SQLAlchemyError:
        return None
    return known_device(hub, token)


def member(request: Request) -> None:
    """Let devices and administrators pass; raises as :func:`device` does."""
    if not is_admin(hub_of(request), bearer(request)):
        device(request)


def stranger(request: Request) -> str:
    """Return the address of somebody who is yet to prove who they are; raises TooManyRequests."""
    address = address_of(request)
    hub_of(request).limits.admit_stranger(address)
    return address


def _is_device(hub: Hub, token: str) -> bool:
    try:
        hub.fleet.authenticate(token)
    except HubFault as error:
        return isinstance(error, Forbidden)
    return True


Admin = Annotated[str, Depends(admin)]
"""In a route's signature: administrators only; the argument is their name."""

Device = Annotated[EnrolledDevice, Depends(device)]
"""In a route's signature: devices only; the argument is the one that asks."""

Member = Annotated[None, Depends(member)]
"""In a route's signature: devices and administrators."""

Stranger = Annotated[str, Depends(stranger)]
"""In a route's signature: anybody, at the rate of strangers; the argument is their address."""
