"""Forms for devices; what there is of them for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Request, Response

from cloud_hub.api.artifact_response import artifact_response, content_response
from cloud_hub.api.auth import Device, Viewer, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.router import HubRouter
from edge_sdk.contract.names import check_digest

router = HubRouter(prefix="/v1")


@router.get("/forms/{key}")
def index(request: Request, device: Device, key: str) -> Response:
    """Answer with the forms in which the files of a release or pack can be had besides whole.

    Args:
        request: may ask for a range.
        device: that asks.
        key: SHA-256 of the release's manifest, or of the pack.
    """
    check_digest("forms", key)
    return content_response(request, hub_of(request).forms.store.raw_index(key))


@router.get("/forms/{key}/{sha256}")
def form(request: Request, device: Device, key: str, sha256: str) -> Response:
    """Answer with a form's bytes, all or a range of them.

    Args:
        request: may ask for a range.
        device: that downloads.
        key: as for the index.
        sha256: of the form.
    """
    check_digest("forms", key)
    check_digest("form", sha256)
    hub = hub_of(request)
    store = hub.forms.store.artifacts
    return hub.costs.sent(key, artifact_response(request, store, f"{key}/{sha256}"))


@router.get("/models/{model}/forms")
def forms(request: Request, person: Viewer, model: KnownModel) -> list[Any]:
    """Return the forms of a model's releases, with their bytes.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
    """
    return [asdict(record) for record in hub_of(request).forms.records(model)]
