"""Promotions that wait for a second person: what is asked, and the answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from fastapi import Request, Response

from cloud_hub.api.auth import hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import Number
from cloud_hub.errors import NotFound
from cloud_hub.pages.models.home import address, render
from cloud_hub.pages.models.impact import promotion_impact
from cloud_hub.web.access import Posted, Viewer
from cloud_hub.web.frame import done, page_router

if TYPE_CHECKING:
    from cloud_hub.database.records import ApprovalRecord
    from cloud_hub.hub import Hub

router = page_router()
Answer = Literal["approve", "refuse"]


@router.get("/models/{model}/approvals/{number}/{answer}")
def ask(
    request: Request, user: Viewer, model: KnownModel, number: Number, answer: Answer
) -> Response:
    """Ask before a request is answered."""
    user.require("operator", model)
    hub = hub_of(request)
    asked = _request(hub, model, number)
    own = asked.requested_by == user.name
    verb = "Approve" if answer == "approve" else "Withdraw" if own else "Refuse"
    fields: list[Any] = [("reason", "Reason, for the audit", "text", "", True)]
    records = hub.fleet.participants(model)
    digest = hub.registry.version(model, asked.version).manifest
    return render(
        request, user, "ask_approval.html", model=model, tab="",
        title=f"{verb}: {asked.version} for everybody", asked=asked, lines=[], answer=answer,
        impact=promotion_impact(records, asked.version, digest, time.time()),
        action=address(model, "approvals", number, answer), back=address(model), hidden=[],
        fields=[] if answer == "approve" else fields, submit=verb,
        tone="primary" if answer == "approve" else "danger",
    )  # fmt: skip


@router.post("/models/{model}/approvals/{number}/{answer}")
def give(
    request: Request, user: Viewer, form: Posted, model: KnownModel, number: Number, answer: Answer
) -> Response:
    """Answer a request."""
    user.require("operator", model)
    hub = hub_of(request)
    asked = _request(hub, model, number)
    if answer == "approve":
        hub.approvals.approve(asked.id, by=user.person)
        return done(address(model), f"{asked.version} serves: two people wanted it.")
    record = hub.approvals.refuse(asked.id, by=user.person, reason=form.text("reason"))
    return done(address(model), f"Request {asked.id} is {record.state}.")


def _request(hub: Hub, model: str, number: int) -> ApprovalRecord:
    asked = hub.approvals.get(number)
    if asked.model != model:  # rights go by model, and its name is in the path
        raise NotFound(f"request {number}: {model} has none of this number")
    return asked
