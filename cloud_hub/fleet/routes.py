"""Requests of devices: to join, for a credential, to say how they are."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Device, Stranger, hub_of, optional_bearer
from cloud_hub.api.request_body import message
from cloud_hub.api.router import HubRouter
from cloud_hub.fleet import admin_routes
from cloud_hub.fleet.service import check_checkin
from edge_sdk.contract.bounds import check_small
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, CredentialRequest, DeviceLog, EnrolRequest

router = HubRouter(prefix="/v1")
LOG_BYTES: Final = 4 << 20
"""Of the answer to who asked for a log: its characters may take six bytes each."""

router.routes.extend(admin_routes.router.routes)


@router.post("/enrol")
async def enrol(request: Request, stranger: Stranger) -> Any:
    """Let a device join with an enrolment token, or with its registered serial number."""
    hub, token = hub_of(request), optional_bearer(request)
    enrolment = await message(request, EnrolRequest)
    # One-time secrets may be people's own: whoever guesses is stopped before one is looked at,
    # and guesses at one serial number add up, wherever they come from.
    request.state.guessed = enrolment.serial
    hub.limits.admit_guess(stranger, enrolment.serial)
    return to_plain(await run_in_threadpool(hub.fleet.enrol, token, enrolment))


@router.post("/credentials")
async def new_credential(request: Request, stranger: Stranger) -> Any:
    """Give a device a short-lived credential for its signature."""
    asked = await message(request, CredentialRequest)
    reply = await run_in_threadpool(hub_of(request).fleet.identities.new_credential, asked)
    return to_plain(reply)


@router.post("/checkin", status_code=204)
async def check_in(request: Request, device: Device) -> Response:
    """Note how a device says it is."""
    checkin = await message(request, CheckIn)
    check_small(checkin, "CheckIn")
    check_checkin(device, checkin)
    hub = hub_of(request)
    await hub.checkins.ask((device, checkin))
    if "sync" in hub.asked.of(device.device):
        await run_in_threadpool(hub.fleet.asks.note_sync, device.device)
    return Response(status_code=204, headers=hub.pace.told())


@router.post("/device-log", status_code=204)
async def take_log(request: Request, device: Device) -> Response:
    """Take the newest lines of a device's log, for which somebody asked; 409 if nobody did."""
    sent = await message(request, DeviceLog, LOG_BYTES)
    await run_in_threadpool(hub_of(request).fleet.asks.take_log, device.device, sent)
    return Response(status_code=204)
