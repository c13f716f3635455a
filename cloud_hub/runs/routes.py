"""Runs over HTTP: for administrators, and for pipelines that train."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from cloud_hub.api.auth import Admin, bearer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Number, raw_body
from cloud_hub.runs import pipeline
from edge_sdk.contract.limits import MODEL_BYTES

router = APIRouter(prefix="/v1")


@router.get("/models/{model}/runs")
def runs(request: Request, admin: Admin, model: KnownModel) -> list[dict[str, Any]]:
    """Every run of a model."""
    return [asdict(run) for run in hub_of(request).runs.records(model)]


@router.post("/models/{model}/runs")
def request_run(
    request: Request,
    admin: Admin,
    model: KnownModel,
    mode: Literal["stateful", "stateless"] | None = None,
    reason: str = "by hand",
) -> dict[str, Any]:
    """Ask for a run."""
    cause = {"kind": "manual", "actor": admin, "reason": reason}
    return asdict(hub_of(request).runs.request(model, cause, mode=mode))


@router.get("/runs/{run}/log")
def run_log(request: Request, admin: Admin, run: Number) -> dict[str, str]:
    """What the worker of a run printed."""
    return {"log": hub_of(request).runs.log(run)}


@router.post("/runs/{run}/cancel")
def cancel(request: Request, admin: Admin, run: Number, reason: str) -> dict[str, Any]:
    """End a run that waits or trains."""
    return asdict(hub_of(request).runs.cancel(run, actor=admin, reason=reason))


@router.post("/runs/{run}/override")
def override(request: Request, admin: Admin, run: Number, reason: str) -> dict[str, Any]:
    """Publish a candidate that the offline gate refused."""
    return asdict(hub_of(request).runs.override(run, actor=admin, reason=reason))


@router.get("/runs/{run}/data/{name}")
def data(request: Request, run: Number, name: str) -> FileResponse:
    """What a pipeline trains on: ``fresh``, ``history``, ``state``."""
    folder = hub_of(request).runs.folder(run)
    pipeline.check_token(folder, bearer(request))
    return FileResponse(pipeline.given(folder, name))


@router.put("/runs/{run}/result/{kind}", status_code=204)
async def leave(request: Request, run: Number, kind: str) -> Response:
    """What a pipeline made: ``onnx`` or ``skops``; ``state`` and ``check`` where there are any."""
    folder = hub_of(request).runs.folder(run)
    pipeline.check_token(folder, bearer(request))
    raw = await raw_body(request, MODEL_BYTES)
    await run_in_threadpool(pipeline.leave, folder, kind, raw)
    return Response(status_code=204)


@router.post("/runs/{run}/result", status_code=204)
def finish(request: Request, run: Number, reason: str = "") -> Response:
    """A pipeline is done; with a ``reason`` it failed."""
    folder = hub_of(request).runs.folder(run)
    pipeline.check_token(folder, bearer(request))
    pipeline.finish(folder, reason)
    return Response(status_code=204)
