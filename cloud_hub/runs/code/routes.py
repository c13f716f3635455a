"""Versions of training code over HTTP."""

from __future__ import annotations

from fastapi import Request, Response

from cloud_hub.api.auth import Publishing, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.pipeline_token import Reader
from cloud_hub.api.request_body import Number
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document

router = HubRouter(prefix="/v1")


@router.get("/models/{model}/pipelines")
def pipelines(request: Request, person: Reader, model: KnownModel) -> Document:
    """Every version of a model's training code, and the one that it is held at."""
    service = hub_of(request).pipelines
    held = service.held(model)
    versions = [as_document(version) for version in service.versions(model)]
    return {"held": None if held is None else as_document(held), "versions": versions}


@router.get("/models/{model}/pipelines/{number}")
def pipeline(request: Request, person: Reader, model: KnownModel, number: Number) -> Document:
    """One version, and which packages are others now."""
    service = hub_of(request).pipelines
    version = service.get(model, number)
    return {**as_document(version), "other_packages": list(service.other_packages(version))}


@router.get("/models/{model}/pipelines/{number}/files")
def files(request: Request, person: Publishing, model: KnownModel, number: Number) -> Response:
    """The kept files of a version, as a ZIP."""
    service = hub_of(request).pipelines
    return Response(service.files(service.get(model, number)), media_type="application/zip")


@router.post("/models/{model}/pipelines/{number}/hold")
def hold(
    request: Request, person: Publishing, model: KnownModel, number: Number, reason: str
) -> Document:
    """Train with an older version from now on."""
    service = hub_of(request).pipelines
    version = service.hold(model, number, actor=person, reason=reason)
    return {**as_document(version), "other_packages": list(service.other_packages(version))}


@router.post("/models/{model}/pipelines/follow")
def follow(request: Request, person: Publishing, model: KnownModel, reason: str) -> dict[str, str]:
    """Train with what the policy names again."""
    hub_of(request).pipelines.follow(model, actor=person, reason=reason)
    return {"model": model}
