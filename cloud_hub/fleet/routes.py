"""What devices ask of the fleet, and what administrators ask about it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Admin, Device, bearer, hub_of
from cloud_hub.api.dependencies import unknown
from cloud_hub.api.request_body import message
from cloud_hub.fleet.health import health
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, EnrolRequest

router = APIRouter(prefix="/v1")


@router.post("/enrol")
async def enrol(request: Request) -> dict[str, Any]:
    """A device joins with an enrolment token."""
    token, asked = bearer(request), await message(request, EnrolRequest)
    reply = await run_in_threadpool(hub_of(request).fleet.enrol, token, asked)
    plain: dict[str, Any] = to_plain(reply)
    return plain


@router.post("/checkin", status_code=204)
async def check_in(request: Request, device: Device) -> Response:
    """A device says how it is."""
    said = await message(request, CheckIn)
    await run_in_threadpool(hub_of(request).fleet.check_in, device.device, said)
    return Response(status_code=204)


@router.post("/enrolment-tokens")
def new_token(
    request: Request, admin: Admin, model: str, uses: int = 1, seconds: float = 86_400.0
) -> dict[str, str]:
    """A token for new devices; a ``warning`` if there is no such model yet."""
    hub = hub_of(request)
    made = {"token": hub.fleet.new_token(model, uses=uses, seconds=seconds, actor=admin)}
    known = hub.registry.models()
    if model not in known:
        made["warning"] = f"{unknown(model, known)}; devices that join wait for its first version"
    return made


@router.get("/devices")
def devices(request: Request, admin: Admin, model: str | None = None) -> list[dict[str, Any]]:
    """All devices with their health."""
    hub, now = hub_of(request), time.time()
    plans = {name: hub.plans.current(name) for name in hub.registry.models()}
    found = []
    for record in hub.fleet.devices(model):
        plan = plans.get(record.model)
        serving = plan.serving.manifest if plan else ""
        state = health(
            serial=plan.serial if plan else None,
            plan=record.plan,
            failed=any(name.startswith(serving) for name in record.failed) if serving else False,
            seen_at=record.seen_at,
            now=now,
        )
        found.append({**asdict(record), "health": state})
    return found
