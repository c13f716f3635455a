"""Batch features of entities, for administrators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.request_body import message
from cloud_hub.features.table import FeatureTable
from edge_sdk.contract.limits import MODEL_BYTES

router = APIRouter(prefix="/v1")


@router.get("/models/{model}/features")
def status(request: Request, admin: Admin, model: KnownModel) -> dict[str, Any]:
    """What is kept of a model, and which file each release has."""
    return hub_of(request).features.status(model)


@router.post("/models/{model}/features")
async def put(
    request: Request,
    admin: Admin,
    model: KnownModel,
    expires: Annotated[int | None, Query(ge=0, le=2**40)] = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Take features in: the body is a table as JSON (``entities``, ``columns``, ``defaults``)."""
    table = await message(request, FeatureTable, MODEL_BYTES)
    return await run_in_threadpool(
        hub_of(request).features.put,
        *(model, table),
        actor=admin,
        expires=expires,
        replace_all=replace,
    )
