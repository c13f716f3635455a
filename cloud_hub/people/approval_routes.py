"""Promotions that wait for a second person, over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Query, Request

from cloud_hub.api.auth import ViewerOfSome, hub_of, may_see
from cloud_hub.api.request_body import Number
from cloud_hub.api.rights import ApprovalOperator
from cloud_hub.api.router import HubRouter

router = HubRouter(prefix="/v1/approvals")

Reason = Annotated[str, Query(min_length=1, max_length=500)]


@router.get("")
def requests(
    request: Request, person: ViewerOfSome, model: str | None = None, pending: bool = True
) -> list[Any]:
    """Return requests, oldest first: those that wait, or all."""
    return [
        asdict(record)
        for record in hub_of(request).approvals.list(model)
        if may_see(request, record.model) and (record.state == "pending" or not pending)
    ]


@router.post("/{id_}/approve")
def approve(request: Request, person: ApprovalOperator, id_: Number) -> Any:
    """Carry out what somebody else asked for."""
    return asdict(hub_of(request).approvals.approve(id_, by=request.state.person))


@router.post("/{id_}/refuse")
def refuse(request: Request, person: ApprovalOperator, id_: Number, reason: Reason) -> Any:
    """Have a request come to nothing; who asked withdraws it so."""
    by = request.state.person
    return asdict(hub_of(request).approvals.refuse(id_, by=by, reason=reason))
