"""Plans and the changes that a person makes to them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Request

from cloud_hub.api.auth import Operator, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.api.promoted import promoted
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import NotFound
from cloud_hub.plans.service import PlanPreview
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.plan import Plan

router = HubRouter(prefix="/v1/models/{model}")


@router.get("/plan")
def plan(request: Request, person: Viewer, model: KnownModel) -> Any:
    """Return the plan in force, with the aliases of the version that serves.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
    """
    hub = hub_of(request)
    current = hub.plans.current(model)
    if current is None:
        raise NotFound(f"{model}: has no plan yet; promote a version")
    # Beside the plan, which devices know without it.
    aliases = hub.aliases.names(model).of(current.serving.version).aliases
    return {**to_plain(current), "serving_aliases": list(aliases)}


@router.post("/promote")
def promote(
    request: Request,
    person: Operator,
    model: KnownModel,
    version: KnownVersion,
    reason: str = "by hand",
    override: str | None = None,
    dry_run: bool = False,
) -> Any:
    """Let a version serve everybody; with ``dry_run`` only return what that would change.

    Where the policy asks for a second person, answer 202 with the request that waits for one.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        version: one of its published versions.
        reason: why, for the audit log.
        override: reason to promote a version that an experiment has just taken back.
        dry_run: change nothing.
    """
    hub = hub_of(request)
    if dry_run:
        return _as_json(hub.plans.preview_promotion(model, version, override=override))
    done = hub.approvals.promote(
        model, version, by=request.state.person, reason=reason, override=override
    )
    return promoted(done, _as_json)


@router.post("/rollback")
def rollback(
    request: Request,
    person: Operator,
    model: KnownModel,
    reason: str = "by hand",
    dry_run: bool = False,
) -> Any:
    """End the experiment, or go back to what served before.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        reason: why, for the audit log.
        dry_run: only return what that would change.
    """
    plans = hub_of(request).plans
    if dry_run:
        return _as_json(plans.preview_rollback(model))
    return _as_json(plans.rollback(model, actor=person, reason=reason))


@router.post("/canary")
def canary(request: Request, person: Operator, model: KnownModel, version: KnownVersion) -> Any:
    """Try a version on the first step's share of the fleet.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        version: one of its published versions.
    """
    return asdict(hub_of(request).experiments.canary(model, version, actor=person))


def _as_json(result: Plan | PlanPreview) -> Any:
    if isinstance(result, PlanPreview):
        return {**asdict(result), "dry_run": True}
    return to_plain(result)
