"""Requests of devices to join and to report, and of administrators about the fleet."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Admin, Device, bearer, hub_of
from cloud_hub.api.dependencies import unknown
from cloud_hub.api.request_body import Limit, Moment, message
from cloud_hub.database.records import DeviceRecord
from cloud_hub.fleet.health import Health, health
from edge_sdk.contract.bounds import check_small
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, EnrolRequest
from edge_sdk.contract.plan import Plan

router = APIRouter(prefix="/v1")


@router.post("/enrol")
async def enrol(request: Request) -> Any:
    """Let a device join with an enrolment token."""
    token, enrolment = bearer(request), await message(request, EnrolRequest)
    return to_plain(await run_in_threadpool(hub_of(request).fleet.enrol, token, enrolment))


@router.post("/checkin", status_code=204)
async def check_in(request: Request, device: Device) -> Response:
    """Note how a device says it is."""
    checkin = await message(request, CheckIn)
    check_small(checkin, "CheckIn")
    await run_in_threadpool(hub_of(request).fleet.check_in, device.device, checkin)
    return Response(status_code=204)


@router.post("/enrolment-tokens")
def new_token(
    request: Request, admin: Admin, model: str, uses: int = 1, seconds: float = 86_400.0
) -> dict[str, str]:
    """Make a token for new devices; with a ``warning`` if there is no such model yet.

    Args:
        request: leads to the hub.
        admin: who asks.
        model: that the devices will serve.
        uses: number of devices that may join.
        seconds: from now until the token expires.
    """
    hub = hub_of(request)
    answer = {"token": hub.fleet.new_token(model, uses=uses, seconds=seconds, actor=admin)}
    models = hub.registry.models()
    if model not in models:
        reason = unknown(model, models)
        answer["warning"] = f"{reason}; devices that join wait for its first version"
    return answer


@router.get("/devices")
def devices(
    request: Request,
    admin: Admin,
    model: str | None = None,
    since: Moment | None = None,
    limit: Limit | None = None,
) -> list[Any]:
    """Return devices with their health, in the order in which they joined.

    Args:
        request: leads to the hub.
        admin: who asks.
        model: that the devices serve; default all.
        since: when they were last heard of, or later, Unix seconds.
        limit: at most so many, those that were heard of last.
    """
    hub, now = hub_of(request), time.time()
    plans = {name: hub.plans.current(name) for name in hub.registry.models()}
    return [
        {**asdict(record), "health": _health(record, plans.get(record.model), now)}
        for record in hub.fleet.devices(model, since=since, limit=limit)
    ]


def _health(record: DeviceRecord, plan: Plan | None, now: float) -> Health:
    serving = plan.serving.manifest if plan else None
    return health(
        serial=plan.serial if plan else None,
        plan=record.plan,
        # A device names a slot: the SHA-256 of the manifest, then those of its packs.
        failed=serving is not None and any(name.startswith(serving) for name in record.failed),
        seen_at=record.seen_at,
        now=now,
    )
