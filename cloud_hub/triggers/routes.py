"""Triggers over HTTP: for administrators, and for the systems that call webhooks."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Admin, bearer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Limit, raw_body
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.text.yaml import text_of
from cloud_hub.triggers.calls import read_call

router = APIRouter(prefix="/v1/models/{model}/triggers")
Seconds = Annotated[float, Query(gt=0, le=400 * 86_400)]
CALL_BYTES = 16 << 10
POLICY_BYTES = 1 << 20


@router.get("")
def status(request: Request, admin: Admin, model: KnownModel) -> dict[str, Any]:
    """Every rule with its evidence as it stands, and what fired."""
    service = hub_of(request).triggers
    return {"rules": service.status(model, time.time()), "firings": service.firings(model)}


@router.get("/evaluations")
def evaluations(
    request: Request,
    admin: Admin,
    model: KnownModel,
    trigger: str | None = None,
    limit: Limit = 100,
) -> list[dict[str, Any]]:
    """The newest evaluations; neighbours with one outcome are one row."""
    return hub_of(request).triggers.evaluations(model, trigger, limit)


@router.post("/dry-run")
async def dry_run(
    request: Request, admin: Admin, model: KnownModel, seconds: Seconds
) -> dict[str, Any]:
    """When each rule would have fired in the last ``seconds``; a policy in the body is tried."""
    raw = await raw_body(request, POLICY_BYTES)
    policy = parse_policy(text_of(raw, "policy")) if raw else None
    now, service = time.time(), hub_of(request).triggers
    return await run_in_threadpool(
        service.dry_run, model, since=now - seconds, until=now, policy=policy
    )


@router.post("/{trigger}/rearm", status_code=204)
def rearm(request: Request, admin: Admin, model: KnownModel, trigger: str) -> Response:
    """Let a trigger fire again."""
    hub_of(request).triggers.rearm(model, trigger, actor=admin)
    return Response(status_code=204)


@router.post("/{trigger}/fire")
def fire(
    request: Request, admin: Admin, model: KnownModel, trigger: str, reason: str = "by hand"
) -> dict[str, Any]:
    """Fire a trigger by hand."""
    return hub_of(request).triggers.fire(model, trigger, actor=admin, reason=reason)


@router.post("/{trigger}/hook")
def hook(request: Request, admin: Admin, model: KnownModel, trigger: str) -> dict[str, str]:
    """A new token for a webhook; the one before is void."""
    return {"token": hub_of(request).triggers.new_hook(model, trigger, actor=admin)}


@router.post("/{trigger}/call", status_code=202)
async def call(request: Request, model: str, trigger: str) -> dict[str, int]:
    """Another system says that something happened: the body is a JSON object, or empty."""
    said = read_call(await raw_body(request, CALL_BYTES))
    token, service = bearer(request), hub_of(request).triggers
    return {"calls": await run_in_threadpool(service.call, model, trigger, token, said)}
