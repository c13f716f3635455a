"""What models cost, by HTTP."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Query, Request

from cloud_hub.api.auth import Viewer, ViewerOfSome, hub_of, may_see
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document
from edge_sdk.contract.limits import LATEST

router = HubRouter(prefix="/v1")
Since = Annotated[float | None, Query(ge=0, le=LATEST, allow_inf_nan=False)]
MONTH = 30 * 86_400.0


@router.get("/models/{model}/cost")
def cost(request: Request, person: Viewer, model: KnownModel, since: Since = None) -> Document:
    """Return what a model cost: by day, version, run, batch and experiment; what it saved.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        since: Unix seconds; default 30 days ago.
    """
    return as_document(hub_of(request).costs.report(model, _begin(since)))


@router.get("/cost")
def costs(request: Request, person: ViewerOfSome, since: Since = None) -> list[Document]:
    """Return what each model cost, without its days and runs.

    Args:
        request: leads to the hub.
        person: who asks.
        since: Unix seconds; default 30 days ago.
    """
    hub, begin = hub_of(request), _begin(since)
    names = [name for name in hub.registry.models() if may_see(request, name)]
    parts = ("days", "versions", "runs", "batches", "experiments")
    reports = [as_document(hub.costs.report(name, begin)) for name in names]
    return [{k: v for k, v in each.items() if k not in parts} for each in reports]


def _begin(since: float | None) -> float:
    return time.time() - MONTH if since is None else since
