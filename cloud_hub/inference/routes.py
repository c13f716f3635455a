"""Predictions for unsure devices."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import bearer, device, hub_of, looked_up_device
from cloud_hub.api.declared import asks_for
from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.api.request_body import raw_body
from cloud_hub.api.router import HubRouter
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.inference.asking import BODY_BYTES

router = HubRouter(prefix="/v1")


@asks_for("device")
async def _asking(request: Request) -> EnrolledDevice:
    """Return the device that asks, without a thread where its credential is valid."""
    known = await looked_up_device(hub_of(request), bearer(request))
    return known if known is not None else await run_in_threadpool(device, request)


@router.post("/predict")
async def predict(
    request: Request, device: Annotated[EnrolledDevice, Depends(_asking)]
) -> Response:
    """Predict for a device whose own model is unsure."""
    raw = await raw_body(request, BODY_BYTES)
    # A response of ours: FastAPI would walk the answer twice before it writes it.
    return SafeJSONResponse(await request.app.state.asked_rows.answer(device, raw))
