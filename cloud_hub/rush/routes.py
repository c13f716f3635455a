"""The calendar of a model, and what was trained on its days, for administrators."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Query, Request

from cloud_hub.api.auth import Operator, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document

router = HubRouter(prefix="/v1/models/{model}/calendar")
Days = Annotated[float, Query(gt=0, le=3_660)]


@router.get("")
def status(request: Request, person: Viewer, model: KnownModel, days: Days = 400) -> Document:
    """Days that are open and that come, and the versions that were trained on some."""
    return as_document(hub_of(request).rush.status(model, now=time.time(), days=days))


@router.post("/keep")
def keep(
    request: Request,
    person: Operator,
    model: KnownModel,
    version: KnownVersion,
    reason: str = "by hand",
) -> Document:
    """Let a version of a rare day serve on when it is over."""
    return as_document(hub_of(request).rush.keep(model, version, actor=person, reason=reason))
