"""Packs, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Request

from cloud_hub.api.auth import Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.router import HubRouter

router = HubRouter(prefix="/v1")


@router.get("/models/{model}/packs")
def packs(request: Request, person: Viewer, model: KnownModel) -> list[Any]:
    """Return the packs that were built for a model, oldest first.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
    """
    return [asdict(record) for record in hub_of(request).packs.records(model)]
