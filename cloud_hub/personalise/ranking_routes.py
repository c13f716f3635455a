"""Rankings that adapt to units, for administrators."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Query, Request

from cloud_hub.api.auth import Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel, MaybeVersion
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document

router = HubRouter(prefix="/v1/models/{model}/personalise/rankings")

Days = Annotated[int, Query(ge=1, le=366)]


@router.get("")
def values(
    request: Request, person: Viewer, model: KnownModel, version: MaybeVersion, days: Days = 28
) -> Document:
    """What adapting lists to units comes to: the value of each policy, with its interval."""
    rankings = hub_of(request).personalise.rankings
    return as_document(rankings.values(model, version, days=days, now=time.time()))
