"""Requests of devices: to join, for a credential, to say how they are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Device, Stranger, hub_of, optional_bearer
from cloud_hub.api.request_body import message
from cloud_hub.fleet import admin_routes
from cloud_hub.fleet.service import check_checkin
from edge_sdk.contract.bounds import check_small
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, CredentialRequest, EnrolRequest

router = APIRouter(prefix="/v1")
router.include_router(admin_routes.router)


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
    return Response(status_code=204, headers=hub.pace.told())
