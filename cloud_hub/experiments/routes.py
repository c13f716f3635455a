"""Experiments over HTTP; a declaration is the YAML file itself."""

from __future__ import annotations

import time
from dataclasses import asdict

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from cloud_hub.api.auth import Operator, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.api.promoted import promoted
from cloud_hub.api.request_body import raw_body
from cloud_hub.api.rights import ExperimentOperator, ExperimentViewer
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import Invalid
from cloud_hub.experiments.documents import Document, record_document, report_document
from cloud_hub.experiments.record import ExperimentRecord
from cloud_hub.experiments.report import present_step
from cloud_hub.experiments.report_page import to_html
from cloud_hub.experiments.verdict.spec import ExperimentSpec, parse_experiment
from cloud_hub.text.yaml import text_of

router = HubRouter(prefix="/v1")
SPEC_BYTES = 1 << 20


@router.get("/models/{model}/experiments")
def experiments(request: Request, person: Viewer, model: KnownModel) -> SafeJSONResponse:
    """Every experiment of a model, oldest first."""
    records = hub_of(request).experiments.records(model)
    return SafeJSONResponse([_status(record) for record in records])


@router.post("/models/{model}/experiments/plan")
async def plan(
    request: Request, person: Viewer, model: KnownModel, power: float = 0.8
) -> SafeJSONResponse:
    """Forecast of the declared experiment: how much it needs, and for how long; starts nothing."""
    spec = await _spec(request, model)
    if not 0.5 <= power < 1:
        raise Invalid(f"power: expected 0.5 to below 1, got {power}")
    prepare = hub_of(request).experiments.preparation.plan
    # Reads a week of reports: off the event loop, or check-ins would wait.
    return SafeJSONResponse(asdict(await run_in_threadpool(prepare, spec, time.time(), power)))


@router.post("/models/{model}/experiments")
async def start(request: Request, person: Operator, model: KnownModel) -> SafeJSONResponse:
    """Start the declared experiment."""
    spec, hub = await _spec(request, model), hub_of(request)
    await run_in_threadpool(hub.approvals.check_experiment, spec)
    return _answer(await run_in_threadpool(hub.experiments.run, spec, actor=person))


@router.get("/experiments/{id_}")
def status(request: Request, person: ExperimentViewer, id_: str) -> SafeJSONResponse:
    """State of an experiment."""
    return _answer(hub_of(request).experiments.get(id_))


@router.post("/experiments/{id_}/pause")
def pause(
    request: Request, person: ExperimentOperator, id_: str, reason: str = "by hand"
) -> SafeJSONResponse:
    """Nobody enters; who is in stays in."""
    return _answer(hub_of(request).experiments.pause(id_, actor=person, reason=reason))


@router.post("/experiments/{id_}/resume")
def resume(
    request: Request, person: ExperimentOperator, id_: str, reason: str = "by hand"
) -> SafeJSONResponse:
    """Go on; what failed until now is acknowledged."""
    return _answer(hub_of(request).experiments.resume(id_, actor=person, reason=reason))


@router.post("/experiments/{id_}/stop")
def stop(
    request: Request, person: ExperimentOperator, id_: str, reason: str = "by hand"
) -> SafeJSONResponse:
    """End it; everybody gets what serves."""
    return _answer(hub_of(request).experiments.stop(id_, actor=person, reason=reason))


@router.post("/experiments/{id_}/drop")
def drop(
    request: Request, person: ExperimentOperator, id_: str, arm: str, reason: str = "by hand"
) -> SafeJSONResponse:
    """Take an arm of an A/B/n test back; the others go on."""
    done = hub_of(request).experiments.drop(id_, arm, actor=person, reason=reason)
    return _answer(done)


@router.post("/experiments/{id_}/promote")
def promote(
    request: Request,
    person: ExperimentOperator,
    id_: str,
    reason: str = "by hand",
    arm: str | None = None,
) -> SafeJSONResponse:
    """Let the winner, or the arm that is named, serve everybody; 202 where two have to decide."""
    approvals, by = hub_of(request).approvals, request.state.person
    return promoted(approvals.promote_arm(id_, by=by, reason=reason, arm=arm), _status)


@router.get("/experiments/{id_}/report")
def report(request: Request, person: ExperimentViewer, id_: str) -> SafeJSONResponse:
    """Everything that was seen and decided, over time."""
    return SafeJSONResponse(report_document(hub_of(request).experiments.report(id_)))


@router.get("/experiments/{id_}/report.html")
def report_page(request: Request, person: ExperimentViewer, id_: str) -> HTMLResponse:
    """The report as one page."""
    return HTMLResponse(to_html(hub_of(request).experiments.report(id_)))


def _status(record: ExperimentRecord) -> Document:
    """A record as JSON, with ``now``: the step that it is in, for people."""
    return {**record_document(record), "now": present_step(record)}


def _answer(record: ExperimentRecord) -> SafeJSONResponse:
    return SafeJSONResponse(_status(record))


async def _spec(request: Request, model: str) -> ExperimentSpec:
    spec = parse_experiment(text_of(await raw_body(request, SPEC_BYTES), "experiment"))
    if spec.model != model:
        raise Invalid(f"experiment.model: expected {model}, got {spec.model}")
    return spec
