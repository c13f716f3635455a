"""Batch features of entities, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import message
from cloud_hub.errors import Conflict
from cloud_hub.features.table import FeatureTable
from edge_sdk.contract.limits import LATEST, MODEL_BYTES

router = APIRouter(prefix="/v1")


@router.get("/models/{model}/features")
def status(request: Request, admin: Admin, model: KnownModel) -> Any:
    """Return the features of a model, and the file of each release.

    Args:
        request: leads to the hub.
        admin: who asks.
        model: name of the line.
    """
    hub = hub_of(request)
    uses = [asdict(use) for use in hub.feature_sets.history.uses(model=model)]
    sets = [each.ref for each in hub.feature_sets.of_model(model)]
    return {**asdict(hub.features.status(model)), "sets": sets, "uses": uses}


@router.post("/models/{model}/features")
async def put(
    request: Request,
    admin: Admin,
    model: KnownModel,
    expires: Annotated[int | None, Query(ge=0, le=LATEST)] = None,
    replace: bool = False,
) -> Any:
    """Store features, and let devices have them with the next plan.

    Args:
        request: its body is a table as JSON (``entities``, ``columns``, ``defaults``).
        admin: who brings them.
        model: name of the line.
        expires: Unix seconds after which devices stop using them.
        replace: forget all other entities.
    """
    table = await message(request, FeatureTable, MODEL_BYTES)
    sets = await run_in_threadpool(hub_of(request).feature_sets.of_model, model)
    if sets:
        names = ", ".join(each.declared.name for each in sets)
        raise Conflict(f"{model}: gets its features from {names}; import rows of that set")
    status = await run_in_threadpool(
        hub_of(request).features.put,
        *(model, table),
        actor=admin,
        expires=expires,
        replace_all=replace,
    )
    return asdict(status)
