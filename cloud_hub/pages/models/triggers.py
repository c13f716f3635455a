"""Triggers of a model: rules with their evidence, what fired, and a dry run over the past."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

from fastapi import Query, Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.database.documents import as_document
from cloud_hub.errors import NotFound
from cloud_hub.pages.models.evidence import pairs_of
from cloud_hub.pages.models.home import address, render
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import done, page_router

router = page_router()
TriggerName = Annotated[str, Query(max_length=200)]

DAY: Final = 86_400.0
SHOWN: Final = 40
"""Firings, and evaluations, on one page."""

TONES: Final = {
    "fired": "bad", "holding": "warn", "latched": "info", "cooling": "info", "over_budget": "warn",
    "too_early": "quiet", "few_labels": "quiet", "quiet": "good",
}  # fmt: skip


@router.get("/models/{model}/triggers")
def triggers(request: Request, user: Viewer, model: KnownModel) -> Response:
    """Show the rules of a model."""
    service = hub_of(request).triggers
    firings = service.firings(model)[::-1]
    evaluations = service.evaluations(model, None, SHOWN)[::-1]
    return render(
        request, user, "triggers.html", model=model, tab="triggers", title="Triggers",
        rules=[(rule, pairs_of(as_document(rule.evidence))) for rule in
               service.status(model, time.time())],
        firings=[(each, pairs_of(each.evidence)) for each in firings[:SHOWN]],
        evaluations=[(each, pairs_of(each.evidence)) for each in evaluations],
        more=max(0, len(firings) - SHOWN), tones=TONES, now=time.time(),
    )  # fmt: skip


@router.get("/models/{model}/triggers/dry-run")
def dry_run(
    request: Request,
    user: Viewer,
    model: KnownModel,
    days: Annotated[float, Query(gt=0, le=90)] = 7,
) -> Response:
    """Show what the rules would have done.

    Args:
        request: leads to the hub.
        user: who asks.
        model: name of the model.
        days: of the past.
    """
    now = time.time()
    run, nothing = None, ""
    try:
        run = hub_of(request).triggers.dry_run(model, since=now - days * DAY, until=now)
    except NotFound as error:
        nothing = str(error)
    return render(
        request, user, "dry_run.html", model=model, tab="triggers", title="Dry run", run=run,
        nothing=nothing, days=days, now=now,
        told=lambda moment: pairs_of(as_document(moment.evidence)),
    )  # fmt: skip


@router.get("/models/{model}/triggers/{what}")
def ask(
    request: Request, user: Viewer, model: KnownModel, what: str, trigger: TriggerName
) -> Response:
    """Ask before a rule fires by hand, or is armed again."""
    user.require("operator", model)
    lines, verb = _words(what)
    fields: list[Any] = [("reason", "Reason, shown as the evidence", "text", "", True)]
    return render(
        request, user, "ask_plain.html", model=model, tab="triggers", title=f"{verb} {trigger}?",
        lines=lines, action=address(model, "triggers", what), back=address(model, "triggers"),
        fields=fields if what == "fire" else [], hidden=[("trigger", trigger)], submit=verb,
        tone="primary",
    )  # fmt: skip


@router.post("/models/{model}/triggers/{what}")
def act(request: Request, user: Viewer, form: Posted, model: KnownModel, what: str) -> Response:
    """Fire a rule, or arm it again."""
    user.require("operator", model)
    _words(what)
    service, trigger = hub_of(request).triggers, form.text("trigger", 200)
    if what == "fire":
        service.fire(model, trigger, actor=user.name, reason=form.text("reason"))
        return done(address(model, "triggers"), f"{trigger} fired.")
    service.rearm(model, trigger, actor=user.name)
    return done(address(model, "triggers"), f"{trigger} is armed.")


def _words(what: str) -> tuple[list[str], str]:
    """Return what an action does, and its verb; raises NotFound."""
    if what == "fire":
        return ["It fires now, whatever its evidence, latch and budget say: where the policy says "
                "how to train, a run begins."], "Fire"  # fmt: skip
    if what == "rearm":
        return ["It may fire again on the version that serves."], "Arm"
    raise NotFound(f"triggers: expected fire or rearm, not {what!r}")
