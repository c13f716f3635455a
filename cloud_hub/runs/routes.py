"""Runs over HTTP: for administrators, and for pipelines that train."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from cloud_hub.api.auth import PUBLIC, Viewer, bearer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.pipeline_token import Reader, RunStarter
from cloud_hub.api.request_body import Number, raw_body
from cloud_hub.api.rights import RunOperator, RunPublishing, RunReader
from cloud_hub.api.router import HubRouter
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.writing import Format, written
from cloud_hub.database.documents import Document, as_document, as_documents
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.runs import pipeline
from cloud_hub.runs.steps.names import step_of
from cloud_hub.runs.store import RunCause
from edge_sdk.contract.limits import MODEL_BYTES

router = HubRouter(prefix="/v1")


@router.get("/models/{model}/runs")
def runs(request: Request, person: Reader, model: KnownModel) -> list[Document]:
    """Every run of a model."""
    return as_documents(hub_of(request).runs.records(model))


@router.post("/models/{model}/runs")
def request_run(
    request: Request,
    person: RunStarter,
    model: KnownModel,
    mode: Literal["stateful", "stateless"] | None = None,
    reason: str = "by hand",
) -> Document:
    """Ask for a run."""
    cause = RunCause("manual", actor=person, reason=reason)
    return as_document(hub_of(request).runs.request(model, cause, mode=mode))


@router.get("/models/{model}/holdout")
def holdout(request: Request, person: Viewer, model: KnownModel) -> Document:
    """How worn the holdout of a model is."""
    wear = hub_of(request).runs.offline_gate.holdout_wear(model)
    if wear is None:
        raise NotFound(f"{model}: has no holdout; edge-hub data add {model} holdout FILE gives one")
    return as_document(wear)


@router.get("/runs/{run}")
def run_record(request: Request, person: RunReader, run: Number) -> Document:
    """One run, with what its worker was kept from."""
    return as_document(hub_of(request).runs.get(run))


@router.get("/runs/{run}/log")
def run_log(
    request: Request, person: RunReader, run: Number, step: str | None = None
) -> dict[str, str]:
    """Output of the worker of a run, or the lines of one step."""
    name = None if step is None else step_of(step)
    return {"log": hub_of(request).runs.log(run, name)}


@router.get("/runs/{run}/steps")
def run_steps(
    request: Request, person: RunReader, run: Number, attempt: Number | None = None
) -> list[Document]:
    """Steps of a run, of its last attempt unless one is named."""
    runs = hub_of(request).runs
    runs.get(run)
    return as_documents(runs.steps.of_run(run, attempt))


@router.get("/models/{model}/steps")
def model_steps(
    request: Request,
    person: Reader,
    model: KnownModel,
    step: str | None = None,
    status: str | None = None,
    key: str | None = None,
) -> list[Document]:
    """Steps of all runs of a model, those of a name, a status or a cache key."""
    name = None if step is None else step_of(step)
    steps = hub_of(request).runs.steps
    return as_documents(steps.records(model=model, step=name, status=status, key=key))


@router.get("/runs/{run}/comparison/{other}")
def compare(request: Request, person: RunReader, run: Number, other: Number) -> Document:
    """Two runs side by side."""
    return as_document(hub_of(request).past_runs.compare(run, other))


@router.post("/runs/{run}/resume")
def resume(
    request: Request, person: RunOperator, run: Number, step: str | None = None, reason: str = ""
) -> Document:
    """Take up a run that failed, was rejected or cancelled."""
    begin = None if step is None else step_of(step)
    past = hub_of(request).past_runs
    return as_document(past.resume(run, actor=person, begin=begin, reason=reason))


@router.post("/runs/{run}/repeat")
def repeat(request: Request, person: RunOperator, run: Number) -> Document:
    """Make the bytes of a run once more."""
    return as_document(hub_of(request).past_runs.repeat(run, actor=person))


@router.post("/runs/{run}/cancel")
def cancel(request: Request, person: RunOperator, run: Number, reason: str) -> Document:
    """End a run that waits or trains."""
    return as_document(hub_of(request).runs.cancel(run, actor=person, reason=reason))


@router.post("/runs/{run}/override")
def override(request: Request, person: RunPublishing, run: Number, reason: str) -> Document:
    """Publish a candidate that the offline gate refused."""
    return as_document(hub_of(request).runs.override(run, actor=person, reason=reason))


@router.get("/runs/{run}/data/{name}", dependencies=PUBLIC)
def data(
    request: Request,
    run: Number,
    name: str,
    format: Format = "parquet",  # noqa: A002 (the parameter's name in the URL)
) -> Response:
    """Data that a pipeline trains on: rows ``fresh`` and ``history`` in a format, ``state``."""
    folder = _folder(request, run)
    path = pipeline.input_file(folder, name)
    if path.suffix != ".parquet" or format == "parquet":
        return FileResponse(path)
    return Response(written(Dataset.read(path), format), media_type="application/octet-stream")


@router.put("/runs/{run}/result/{kind}", status_code=204, dependencies=PUBLIC)
async def leave(request: Request, run: Number, kind: str) -> Response:
    """Take a pipeline's model (``onnx``, ``skops``), its ``state`` and ``check`` rows."""
    folder = _folder(request, run)
    raw = await raw_body(
        request, MODEL_BYTES
    )  # the file is written on a thread, off the event loop
    await run_in_threadpool(pipeline.leave, folder, kind, raw)
    return Response(status_code=204)


@router.post("/runs/{run}/result", status_code=204, dependencies=PUBLIC)
def finish(request: Request, run: Number, reason: str = "", code: str = "") -> Response:
    """Note that a pipeline is done, and with which ``code``; with a ``reason`` it failed."""
    folder = _folder(request, run)
    pipeline.finish(folder, reason, code)
    return Response(status_code=204)


def _folder(request: Request, run: int) -> Path:
    """Return the folder of a run for the pipeline that trains it.

    Raises:
        Forbidden: the token is not this run's.
        Conflict: the run does not train any more.
    """
    runs = hub_of(request).runs
    folder = runs.folder(run)
    pipeline.check_token(folder, bearer(request))
    # A token is worth nothing after its training, or it would fill the disk for ever.
    if runs.get(run).status != "training":
        raise Conflict(f"run {run}: is over, and with it what its token opens")
    return folder
