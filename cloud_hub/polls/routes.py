"""The general way of signs of life; that of metadata is in :mod:`cloud_hub.registry.routes`."""

from __future__ import annotations

from fastapi import Request, Response

from cloud_hub.api.auth import Device, hub_of
from cloud_hub.api.router import HubRouter

router = HubRouter(prefix="/v1")


@router.post("/alive", status_code=204)
def alive(request: Request, device: Device) -> Response:
    """Note that a device is there; the answer says when it should be heard of next.

    A poll says so, too, unless a cache on the way answers it.
    """
    hub = hub_of(request)
    return Response(status_code=204, headers={**hub.pace.told(), **hub.asked.told(device.device)})
