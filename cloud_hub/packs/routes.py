"""Packs, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.api.auth import Admin, hub_of
from cloud_hub.api.dependencies import KnownModel

router = APIRouter(prefix="/v1")


@router.get("/models/{model}/packs")
def packs(request: Request, admin: Admin, model: KnownModel) -> list[Any]:
    """Return the packs that were built for a model, oldest first.

    Args:
        request: leads to the hub.
        admin: who asks.
        model: name of the line.
    """
    return [asdict(record) for record in hub_of(request).packs.records(model)]
