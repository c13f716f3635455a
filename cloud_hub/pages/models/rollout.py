"""Promote, try and roll back: first a question with the devices that it reaches, then the deed.

The question names the serial of the plan that it was counted on, and the form sends it back: if
somebody changed the plan meanwhile nothing is done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.database.records import ApprovalRecord
from cloud_hub.errors import Conflict
from cloud_hub.experiments.policy_defaults import canary_of, spec_of
from cloud_hub.pages.models.home import address, check_seen, render, serial_of
from cloud_hub.pages.models.impact import Impact, TrialImpact, promotion_impact, trial_impact
from cloud_hub.plans.service import PlanPreview, expecting
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import done, page_router

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.hub import Hub

router = page_router()
Kind = Literal["canary", "trial"]


@dataclass(frozen=True)
class PromotionQuestion:
    """What a promotion or a rollback will do; ``objection`` is what speaks against it."""

    preview: PlanPreview
    impact: Impact
    serial: int
    objection: str = ""


@dataclass(frozen=True)
class TrialQuestion:
    """What an experiment will do, and the words of its declaration."""

    spec: ExperimentSpec
    impact: TrialImpact
    serial: int
    control: str


@router.get("/models/{model}/promote")
def ask_promote(
    request: Request, user: Viewer, model: KnownModel, version: KnownVersion
) -> Response:
    """Ask before a version serves everybody."""
    user.require("operator", model)
    asked = promotion_question(hub_of(request), model, version)
    fields = [("reason", "Reason, for the audit", "text", "", True)]
    if asked.objection:
        fields.append(("override", "Reason to promote it all the same", "text", "", True))
    return render(
        request, user, "ask_promote.html", model=model, tab="",
        title=f"Promote {version}?", q=asked, verb="promote", lines=[], back=address(model),
        action=address(model, "promote"), fields=fields, submit=f"Promote {version}",
        hidden=[("version", version), ("serial", asked.serial)],
        tone="danger" if asked.objection else "primary",
    )  # fmt: skip


@router.post("/models/{model}/promote")
def promote(request: Request, user: Viewer, form: Posted, model: KnownModel) -> Response:
    """Let a version serve everybody."""
    user.require("operator", model)
    hub, version, serial = hub_of(request), form.text("version", 100), serial_of(form)
    check_seen(hub, model, serial)
    with expecting(model, serial):
        made = hub.approvals.promote(
            model, version, by=user.person, reason=form.text("reason"),
            override=form.get("override", "").strip() or None,
        )  # fmt: skip
    if isinstance(made, ApprovalRecord):
        return done(address(model), f"Request {made.id} waits for a second person.")
    return done(address(model), f"{version} serves; plan {made.serial} goes out to devices.")


@router.get("/models/{model}/rollback")
def ask_rollback(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Ask before the model goes back."""
    user.require("operator", model)
    asked = rollback_question(hub_of(request), model)
    back_to = asked.preview.serves_next
    what = f"End {asked.preview.ends}" if asked.preview.ends else f"Roll back to {back_to}"
    return render(
        request, user, "ask_promote.html", model=model, tab="", title=f"{what}?", q=asked,
        verb="rollback", lines=[], back=address(model), action=address(model, "rollback"),
        fields=[("reason", "Reason, for the audit", "text", "", True)], submit=what,
        hidden=[("serial", asked.serial)], tone="danger",
    )  # fmt: skip


@router.post("/models/{model}/rollback")
def rollback(request: Request, user: Viewer, form: Posted, model: KnownModel) -> Response:
    """Go back to what served before, or end the experiment."""
    user.require("operator", model)
    with expecting(model, serial_of(form)):
        plan = hub_of(request).plans.rollback(model, actor=user.name, reason=form.text("reason"))
    said = f"{plan.serving.version} serves; plan {plan.serial} goes out to devices."
    return done(address(model), said)


@router.get("/models/{model}/try/{kind}")
def ask_trial(
    request: Request, user: Viewer, model: KnownModel, kind: Kind, version: KnownVersion
) -> Response:
    """Ask before a version is tried."""
    user.require("operator", model)
    asked = trial_question(hub_of(request), model, version, kind)
    return render(
        request, user, "ask_trial.html", model=model, tab="experiments",
        title=f"Try {version} in a {asked.spec.strategy}?", q=asked, lines=[],
        back=address(model), action=address(model, "try", kind), fields=[], tone="primary",
        submit=f"Start the {asked.spec.strategy}",
        hidden=[("version", version), ("serial", asked.serial)],
    )  # fmt: skip


@router.post("/models/{model}/try/{kind}")
def try_version(
    request: Request, user: Viewer, form: Posted, model: KnownModel, kind: Kind
) -> Response:
    """Try a version."""
    user.require("operator", model)
    experiments = hub_of(request).experiments
    begin = experiments.canary if kind == "canary" else experiments.start
    with expecting(model, serial_of(form)):
        record = begin(model, form.text("version", 100), actor=user.name)
    return done(address(model, "experiments", record.id), f"{record.id} runs.")


def promotion_question(hub: Hub, model: str, version: str) -> PromotionQuestion:
    """Return what a promotion would do; raises NotFound, Conflict."""
    # First the plan, so that a change after it is noticed.
    plan = hub.plans.current(model)
    objection = ""
    try:
        preview = hub.plans.preview_promotion(model, version)
    except Conflict as error:
        objection = str(error).partition("; look at that first")[0]
        preview = hub.plans.preview_promotion(model, version, override="asked")
    if not preview.changes:
        raise Conflict(f"{model} {version}: serves already, with no experiment beside it")
    impact = _impact(hub, model, version)
    return PromotionQuestion(preview, impact, plan.serial if plan else 0, objection)


def rollback_question(hub: Hub, model: str) -> PromotionQuestion:
    """Return what a rollback would do; raises NotFound, Conflict."""
    plan = hub.plans.current(model)
    preview = hub.plans.preview_rollback(model)
    impact = _impact(hub, model, preview.serves_next)
    return PromotionQuestion(preview, impact, plan.serial if plan else 0)


def trial_question(hub: Hub, model: str, version: str, kind: Kind) -> TrialQuestion:
    """Return what an experiment would do.

    Args:
        hub: of the model.
        model: its name.
        version: to try.
        kind: a canary, or what the policy names.

    Raises:
        NotFound, Conflict, Invalid: it would not start; says why.
    """
    policy = hub.registry.policy(model).experiment
    spec = (
        canary_of(model, version, policy) if kind == "canary" else spec_of(model, version, policy)
    )
    preparation = hub.experiments.preparation
    plan = preparation.check(spec)
    id_ = hub.experiments.store.next_id(spec.model, spec.strategy)
    spec, trial = preparation.first_step(spec, plan, id_)
    impact = trial_impact(hub.fleet.participants(model), plan, trial, time.time(), _steps(spec))
    return TrialQuestion(spec, impact, plan.serial, plan.serving.version)


def _impact(hub: Hub, model: str, version: str) -> Impact:
    digest = hub.registry.version(model, version).manifest
    return promotion_impact(hub.fleet.participants(model), version, digest, time.time())


def _steps(spec: ExperimentSpec) -> list[str]:
    if spec.strategy != "canary":
        return []
    return [
        f"{share * 100:g}% of {stage.name}"
        for stage in spec.path
        for share in stage.steps
        if share < 1
    ]
