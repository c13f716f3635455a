"""Triggers over HTTP: for administrators, and for the systems that call webhooks."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import PUBLIC, Operator, Publishing, Viewer, bearer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Limit, raw_body
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document, as_documents
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.text.yaml import text_of
from cloud_hub.triggers.calls import read_call

router = HubRouter(prefix="/v1/models/{model}/triggers")
Seconds = Annotated[float, Query(gt=0, le=400 * 86_400)]
CALL_BYTES = 16 << 10
POLICY_BYTES = 1 << 20


@router.get("")
def status(request: Request, person: Viewer, model: KnownModel) -> Document:
    """Every rule with its evidence as it stands, and the firings so far."""
    service = hub_of(request).triggers
    return {
        "rules": as_documents(service.status(model, time.time())),
        "firings": as_documents(service.firings(model)),
    }


@router.get("/evaluations")
def evaluations(
    request: Request,
    person: Viewer,
    model: KnownModel,
    trigger: str | None = None,
    limit: Limit = 100,
) -> list[Document]:
    """The newest evaluations; neighbours with one outcome are one row."""
    return as_documents(hub_of(request).triggers.evaluations(model, trigger, limit))


@router.post("/dry-run")
async def dry_run(
    request: Request, person: Viewer, model: KnownModel, seconds: Seconds
) -> Document:
    """Firings that each rule would have had in the last ``seconds``; a body is a policy to try."""
    raw = await raw_body(request, POLICY_BYTES)
    policy = parse_policy(text_of(raw, "policy")) if raw else None
    now, service = time.time(), hub_of(request).triggers
    run = await run_in_threadpool(
        service.dry_run, model, since=now - seconds, until=now, policy=policy
    )
    return as_document(run)


@router.post("/{trigger}/rearm", status_code=204)
def rearm(request: Request, person: Operator, model: KnownModel, trigger: str) -> Response:
    """Let a trigger fire again."""
    hub_of(request).triggers.rearm(model, trigger, actor=person)
    return Response(status_code=204)


@router.post("/{trigger}/fire")
def fire(
    request: Request, person: Operator, model: KnownModel, trigger: str, reason: str = "by hand"
) -> Document:
    """Fire a trigger by hand."""
    firing = hub_of(request).triggers.fire(model, trigger, actor=person, reason=reason)
    return as_document(firing)


@router.post("/{trigger}/hook")
def hook(request: Request, person: Publishing, model: KnownModel, trigger: str) -> dict[str, str]:
    """Make a new token for a webhook; the one before is void."""
    return {"token": hub_of(request).triggers.new_hook(model, trigger, actor=person)}


@router.post("/{trigger}/call", status_code=202, dependencies=PUBLIC)
async def call(request: Request, model: str, trigger: str) -> dict[str, int]:
    """Take the call of another system: the body is a JSON object, or empty."""
    payload = read_call(await raw_body(request, CALL_BYTES))
    token, service = bearer(request), hub_of(request).triggers
    return {"calls": await run_in_threadpool(service.call, model, trigger, token, payload)}
