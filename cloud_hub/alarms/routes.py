"""Alarms over HTTP: the list of all that is wrong, and acknowledging."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.database.documents import Document, as_documents

router = APIRouter(prefix="/v1/alarms")


@router.get("")
def alarms(
    request: Request,
    admin: Admin,
    model: str | None = None,
    past: Annotated[int, Query(ge=0, le=1_000)] = 0,
) -> list[Document]:
    """Return open alarms of the hub, its fleet and its models, oldest first.

    Args:
        request: leads to the hub.
        admin: who asks.
        model: that they concern; default all.
        past: closed ones besides, the newest so many.
    """
    return as_documents(hub_of(request).alarms.all(model, past=past))


@router.post("/acknowledge", status_code=204)
def acknowledge(
    request: Request, admin: Admin, key: Annotated[str, Query(max_length=300)]
) -> Response:
    """Say that somebody has seen an alarm."""
    hub_of(request).alarms.acknowledge(key, actor=admin)
    return Response(status_code=204)
