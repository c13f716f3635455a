"""The FastAPI application: wiring only."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_hub.alarms import routes as alarm_routes
from cloud_hub.alerts import routes as alert_routes
from cloud_hub.aliases import routes as alias_routes
from cloud_hub.api import audit, health
from cloud_hub.api.auth import address_of, hub_of
from cloud_hub.api.declared import declare_in_schema
from cloud_hub.api.device_posts import DevicePosts
from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.api.request_limits import RequestLimits
from cloud_hub.batch import routes as batch_routes
from cloud_hub.batch.fast_path import EntityFastPath
from cloud_hub.compliance import routes as compliance_routes
from cloud_hub.cost import routes as cost_routes
from cloud_hub.database.engine import is_sqlite
from cloud_hub.database.outage import unavailable
from cloud_hub.datasets import routes as dataset_routes
from cloud_hub.errors import HubFault
from cloud_hub.events import routes as event_routes
from cloud_hub.experiments import routes as experiment_routes
from cloud_hub.features import routes as feature_routes
from cloud_hub.fleet import routes as fleet_routes
from cloud_hub.forms import routes as form_routes
from cloud_hub.freshness import routes as freshness_routes
from cloud_hub.inference import routes as inference_routes
from cloud_hub.inference import tensor_routes
from cloud_hub.inference.asking import PATH as ROWS
from cloud_hub.inference.asking import AskedRows
from cloud_hub.inference.micro_batches import MicroBatches
from cloud_hub.inference.tensor_inference import TensorInference
from cloud_hub.monitoring import routes as monitor_routes
from cloud_hub.observability import routes as observability_routes
from cloud_hub.observability.metrics import HubMetrics
from cloud_hub.observability.otlp import export_gauges, otlp_options
from cloud_hub.observability.request_ids import CURRENT
from cloud_hub.observability.request_record import RequestRecord
from cloud_hub.packs import routes as pack_routes
from cloud_hub.pages import routes as page_routes
from cloud_hub.pages.models import (
    approvals,
    cost,
    experiment,
    monitoring,
    names,
    overview,
    packs,
    policy,
    rollout,
    runs,
    triggers,
    versions,
)
from cloud_hub.people import approval_routes
from cloud_hub.people import routes as people_routes
from cloud_hub.people.oidc import routes as oidc_routes
from cloud_hub.personalise import ranking_routes
from cloud_hub.personalise import routes as personalise_routes
from cloud_hub.personalise.learned import evidence_routes
from cloud_hub.plans import routes as plan_routes
from cloud_hub.policy import routes as policy_routes
from cloud_hub.polls import routes as poll_routes
from cloud_hub.polls.fast_path import PollFastPath
from cloud_hub.polls.shedding import Shedding
from cloud_hub.registry import export_routes
from cloud_hub.registry import routes as registry_routes
from cloud_hub.runs import routes as run_routes
from cloud_hub.runs.code import routes as pipeline_routes
from cloud_hub.rush import routes as rush_routes
from cloud_hub.telemetry import routes as telemetry_routes
from cloud_hub.telemetry.intake.uploads import PATH as UPLOADS
from cloud_hub.telemetry.intake.uploads import taking
from cloud_hub.triggers import routes as trigger_routes
from cloud_hub.web import assets
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.version import HUB_HEADER, PROTOCOL

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

log = logging.getLogger(__name__)

PARTS: Final = (
    inference_routes, tensor_routes, fleet_routes, poll_routes, registry_routes, export_routes,
    alias_routes, dataset_routes, plan_routes, policy_routes, feature_routes, telemetry_routes,
    monitor_routes, trigger_routes, run_routes, pipeline_routes, rush_routes, experiment_routes,
    freshness_routes, batch_routes, pack_routes, form_routes, personalise_routes, evidence_routes,
    ranking_routes, people_routes, approval_routes, oidc_routes, audit, event_routes, alarm_routes,
    alert_routes, health, observability_routes, cost_routes, compliance_routes, page_routes, assets,
)  # fmt: skip
OF_MODELS: Final = (
    overview, versions, names, rollout, approvals, experiment, monitoring, triggers, runs,
    packs, cost, policy,
)  # fmt: skip
"""Routes are tried in turn: the busiest first, the pages of a model last."""


def create_app(hub: Hub) -> FastAPI:
    """Return the application of a hub that is open; the hub is closed at the application's end."""
    cascade, observed = MicroBatches(hub.serving), otlp_options(os.environ)
    tensors, metrics = TensorInference(hub), HubMetrics()
    rows = AskedRows(cascade, hub.costs.ledger, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.hub = hub
        if observed:
            export_gauges(hub)
        hub.loop.start()
        hub.fleet.sightings.flusher.start()
        hub.costs.ledger.flusher.start()
        try:
            yield
        finally:
            cascade.close()
            tensors.close()
            hub.close()

    app = FastAPI(
        title="edge-hub", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None,
        **observed,
    )  # fmt: skip
    for part in (*PARTS, *OF_MODELS):
        declare_in_schema(part.router)
        app.router.routes.extend(part.router.routes)
    _translate_errors(app)
    app.add_middleware(RequestLimits)
    if is_sqlite(hub.engine):
        app.add_middleware(EntityFastPath, hub=hub)
    answering = {UPLOADS: taking(hub.telemetry), ROWS: rows.answer}
    app.add_middleware(DevicePosts, hub=hub, answering=answering)
    app.add_middleware(Shedding, load=hub.load)
    # Before it: to refuse costs as much as to answer from memory.
    app.add_middleware(PollFastPath, hub=hub)
    app.add_middleware(_Signature)
    app.state.asked_rows, app.state.tensors, app.state.metrics = rows, tensors, metrics
    app.add_middleware(RequestRecord, metrics=metrics)
    return app


class _Signature:
    """Middleware that names the protocol on every answer.

    So a client that was given a wrong address can say that no hub listens there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sign(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HUB_HEADER.encode(), b"%d" % PROTOCOL)]
            await send(message)

        await self._app(scope, receive, sign)


def _translate_errors(app: FastAPI) -> None:
    """Answer every refusal with JSON that has a reason; a traceback goes to the log only."""

    @app.exception_handler(HubFault)
    def refused(request: Request, error: HubFault) -> SafeJSONResponse:
        # Whoever shows wrong tokens again and again is told to wait.
        subject = getattr(request.state, "guessed", None)
        error = hub_of(request).limits.after(error, address_of(request), subject)
        return SafeJSONResponse(error.as_json(), error.status, headers=dict(error.headers))

    @app.exception_handler(ContractError)
    def not_as_agreed(request: Request, error: ContractError) -> SafeJSONResponse:
        return SafeJSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> SafeJSONResponse:
        # One reason is enough to correct one's request; FastAPI's list is for programs.
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}, got {first['input']!r:.60}"
        return SafeJSONResponse({"error": reason}, 422)

    @app.exception_handler(HTTPException)
    def unknown(request: Request, error: HTTPException) -> SafeJSONResponse:
        text = f"{request.method} {request.scope['path']}: {error.detail}"
        return SafeJSONResponse({"error": text}, error.status_code)

    @app.exception_handler(SQLAlchemyError)
    def without_database(request: Request, error: SQLAlchemyError) -> SafeJSONResponse:
        away = unavailable(error)
        if away is None:
            return broken(request, error)
        reason = str(error.args[0]).partition("\n")[0]
        log.warning("%s %s: %s", request.method, request.scope["path"], reason)
        return SafeJSONResponse(away.as_json(), away.status, headers=dict(away.headers))

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> SafeJSONResponse:
        # The path only: a query may hold what somebody does not want in a log.
        log.exception("%s %s failed", request.method, request.scope["path"])
        reason = f"the hub failed on this request; its log says why (request {CURRENT.get()})"
        return SafeJSONResponse({"error": reason}, 500)
