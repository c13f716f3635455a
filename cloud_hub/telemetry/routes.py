"""Messages from devices, and merged reports for administrators."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from cloud_hub.api.auth import Device, Publishing, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.api.request_body import Limit, raw_body
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_documents
from cloud_hub.telemetry.envelope import open_upload
from cloud_hub.telemetry.intake.uploads import taken
from cloud_hub.telemetry.replays import replayed_messages
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.limits import LARGEST_INTEGER as MOST
from edge_sdk.contract.limits import UPLOAD_BYTES

router = HubRouter(prefix="/v1")

DAY: Final = 86_400.0
LATEST: Final = 2.0**33
"""A time in Unix seconds that nobody asks for by mistake: the year 2242."""

ReplayName = Annotated[str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]
"""Name that a person gives a replayed history."""

RecordId = Annotated[int, Query(ge=0, le=MOST)]

Seconds = Annotated[float, Query(gt=0, le=10 * 366 * DAY)]
"""Length of time that an answer is about, up to now."""

Since = Annotated[float | None, Query(ge=0, le=LATEST)]
"""Begin of the time that an answer is about, in Unix seconds; it replaces ``seconds``."""


@router.post("/messages")
async def messages(request: Request, device: Device) -> Document:
    """Take the messages of a device."""
    raw = await raw_body(request, UPLOAD_BYTES)
    return _plain(await taken(hub_of(request).telemetry, device, raw))


@router.post("/models/{model}/telemetry/import")
async def import_messages(
    request: Request, person: Publishing, model: KnownModel, name: ReplayName
) -> Document:
    """Take messages of a history that was answered elsewhere, as those of a device of its own."""
    raw = await raw_body(request, UPLOAD_BYTES)
    opened = await run_in_threadpool(open_upload, raw)
    hub = hub_of(request)
    replayed = await run_in_threadpool(replayed_messages, opened.upload, time.time())
    device = await run_in_threadpool(
        lambda: hub.fleet.replayed.get(model, name, replayed.begin, actor=person)
    )
    reply = await run_in_threadpool(hub.telemetry.ingest, device, replayed.upload)
    whole = replace(reply, rejected=(*opened.unreadable, *replayed.refused, *reply.rejected))
    return {"device": device.device, **_plain(whole)}


@router.get("/models/{model}/telemetry")
def telemetry(
    request: Request,
    person: Viewer,
    model: KnownModel,
    seconds: Seconds = DAY,
    since: Since = None,
    limit: Limit | None = None,
) -> Document:
    """Merged windows by version and arm, and the steps of devices with releases, both oldest first.

    With ``limit`` the newest of each. ``devices`` are the predictions of each device, ever.
    """
    service, begin = hub_of(request).telemetry, _begin(seconds, since)
    return {
        "windows": as_documents(service.windows(model, since=begin, limit=limit)),
        "events": as_documents(service.events(model, since=begin, limit=limit)),
        "devices": service.predictions_by_device(model),
    }


@router.get("/models/{model}/histograms", response_model=list[Document])
def histograms(
    request: Request,
    person: Viewer,
    model: KnownModel,
    version: KnownVersion,
    seconds: Seconds = DAY,
    since: Since = None,
) -> Response:
    """Histograms of features and outputs by window, over all devices."""
    service, begin = hub_of(request).telemetry, _begin(seconds, since)
    rows = [
        {"start": start, "histograms": counts, "observations": observations}
        for start, counts, observations in service.histogram_rows(model, version, since=begin)
    ]
    # A day is a hundred thousand numbers: to check each once more would take longer than all else.
    return JSONResponse(rows)


@router.get("/models/{model}/tensors")
def shared_tensors(
    request: Request,
    person: Publishing,
    model: KnownModel,
    since: Since = None,
    after: RecordId = 0,
    limit: Limit = 1_000,
) -> Document:
    """Inputs that are no table, as devices shared them with their labels; ``after`` an id."""
    tensors, begin = hub_of(request).telemetry.tensors, since or 0.0
    count, size = tensors.total(model, since=begin)
    records = tensors.records(model, since=begin, after=after, limit=limit)
    return {"count": count, "bytes": size, "samples": as_documents(records)}


@router.get("/models/{model}/tensors/{sample}")
def shared_tensor(
    request: Request,
    person: Publishing,
    model: KnownModel,
    sample: Annotated[int, Path(ge=1, le=MOST)],
) -> Response:
    """Tensors of one shared input, and its label, as an ``.npz`` file."""
    raw = hub_of(request).telemetry.tensors.npz(model, sample)
    return Response(raw, media_type="application/octet-stream")


def _begin(seconds: float, since: float | None) -> float:
    return time.time() - seconds if since is None else since


def _plain(reply: object) -> Document:
    plain: Document = to_plain(reply)
    return plain
