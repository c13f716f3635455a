"""Messages from devices, merged reports for administrators, answers for unsure devices."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Admin, Device, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import message
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CloudRequest
from edge_sdk.contract.limits import UPLOAD_BYTES
from edge_sdk.contract.messages import Upload

router = APIRouter(prefix="/v1")

DAY: Final = 86_400.0
Seconds = Annotated[float, Query(gt=0, le=10 * 366 * DAY)]


@router.post("/messages")
async def messages(request: Request, device: Device) -> dict[str, Any]:
    """Take what a device reports."""
    upload = await message(request, Upload, UPLOAD_BYTES)
    ingest = hub_of(request).telemetry.ingest
    reply = await run_in_threadpool(ingest, device.device, device.model, upload)
    plain: dict[str, Any] = to_plain(reply)
    return plain


@router.post("/predict")
async def predict(request: Request, device: Device) -> dict[str, Any]:
    """Answer a device whose own model is unsure."""
    asked = await message(request, CloudRequest)
    reply = await run_in_threadpool(hub_of(request).serving.predict, device.model, asked)
    plain: dict[str, Any] = to_plain(reply)
    return plain


@router.get("/models/{model}/telemetry")
def telemetry(
    request: Request, admin: Admin, model: KnownModel, seconds: Seconds = DAY
) -> dict[str, Any]:
    """Of the last ``seconds``: merged windows by version and arm, what devices did with releases.

    ``devices`` are all predictions of each, ever.
    """
    service, since = hub_of(request).telemetry, time.time() - seconds
    return {
        "windows": service.windows(model, since=since),
        "events": service.events(model, since=since),
        "devices": service.predictions_by_device(model),
    }


@router.get("/models/{model}/histograms")
def histograms(
    request: Request, admin: Admin, model: KnownModel, version: str, seconds: Seconds = DAY
) -> list[dict[str, Any]]:
    """Histograms of features and outputs by window, over all devices, of the last ``seconds``."""
    since = time.time() - seconds
    rows = hub_of(request).telemetry.histogram_rows(model, version, since=since)
    return [
        {"start": start, "histograms": found, "observations": observations}
        for start, found, observations in rows
    ]
