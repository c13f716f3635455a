"""Releases on their way to other tools: whoever takes one out says where to, and the audit has it
before the first byte leaves.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import FileResponse

from cloud_hub.api.auth import Operator, hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import NotFound
from edge_sdk.contract.manifest import MANIFEST

router = HubRouter(prefix="/v1")
Destination = Annotated[str, Query(alias="to", min_length=1, max_length=500, pattern=r"^\S+$")]


@router.post("/models/{model}/versions/{version}/exports")
def export(
    request: Request, person: Operator, model: KnownModel, version: KnownVersion, to: Destination
) -> dict[str, Any]:
    """Note that a release leaves the hub, and return which one it is.

    Args:
        request: leads to the hub.
        person: who takes it out.
        model: name of the line.
        version: of it.
        to: the artifact that it becomes.
    """
    hub = hub_of(request)
    record = hub.registry.version(model, version)
    detail = {"version": version, "to": to, "manifest": record.manifest}
    hub.audit.record(person, "release exported", model, detail)
    return {"model": model, "version": version, "manifest": record.manifest}


@router.get("/models/{model}/versions/{version}/files/{name}")
def release_file(
    request: Request, person: Operator, model: KnownModel, version: KnownVersion, name: str
) -> FileResponse:
    """Answer with a file of a release, as the publisher signed it.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        version: of it.
        name: of the file: ``manifest.json``, or one that it names.
    """
    release = hub_of(request).registry.release(model, version)
    if name != MANIFEST and name not in release.manifest.files:
        raise NotFound(f"{model} {version}: has no file {name:.100}; manifest.json names them")
    return FileResponse(release.folder / name, media_type="application/octet-stream")
