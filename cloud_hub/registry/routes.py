"""Signed files for devices; models, versions and uploads for administrators and publishers."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.artifact_response import artifact_response
from cloud_hub.api.auth import Admin, Device, hub_of
from cloud_hub.api.dependencies import unknown
from cloud_hub.api.request_body import raw_body
from cloud_hub.errors import NotFound
from edge_sdk.contract.limits import MODEL_BYTES

router = APIRouter(prefix="/v1")
METADATA_BYTES = 64 << 20


@router.get("/metadata/{name}")
def metadata(request: Request, name: str) -> Response:
    """Signed metadata; the one cheap question of a device is this with ``If-None-Match``."""
    file = hub_of(request).repository.metadata / name
    if not name.endswith(".json") or "/" in name or not file.is_file():
        raise NotFound(f"metadata {name}: not found")
    raw = file.read_bytes()
    etag = f'"{hashlib.sha256(raw).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(raw, media_type="application/json", headers=headers)


@router.get("/targets/{path:path}")
def target(request: Request, device: Device, path: str) -> Response:
    """Answer with a signed file, whole or a range of it."""
    return artifact_response(request, hub_of(request).repository.targets, path)


@router.get("/releases")
def releases(request: Request, admin: Admin) -> Response:
    """The newest ``releases`` metadata, for a publisher to add to and sign."""
    raw = hub_of(request).repository.releases().to_bytes()
    return Response(raw, media_type="application/json")


@router.put("/blobs/{digest}", status_code=204)
async def put_blob(request: Request, admin: Admin, digest: str) -> Response:
    """Upload content by its SHA-256."""
    raw = await raw_body(request, MODEL_BYTES)
    blobs = hub_of(request).blobs
    await run_in_threadpool(blobs.put_checked, digest, [raw])
    return Response(status_code=204)


@router.head("/blobs/{digest}", status_code=204)
def has_blob(request: Request, admin: Admin, digest: str) -> Response:
    """Whether content was uploaded already."""
    return Response(status_code=204 if hub_of(request).blobs.exists(digest) else 404)


@router.post("/models/{model}/versions/{version}")
async def publish(
    request: Request,
    admin: Admin,
    model: str,
    version: str,
    state: str | None = None,
    override: str | None = None,
) -> dict[str, Any]:
    """Publish a version: the body is ``releases`` metadata that the publisher signed."""
    raw = await raw_body(request, METADATA_BYTES)
    registry = hub_of(request).registry
    record = await run_in_threadpool(
        registry.accept, raw, model, version, actor=admin, state=state, override=override
    )
    return asdict(record)


@router.get("/models")
def models(request: Request, admin: Admin) -> list[dict[str, Any]]:
    """Every model with its versions and what serves."""
    hub = hub_of(request)
    found = []
    for name in hub.registry.models():
        plan = hub.plans.current(name)
        versions = [asdict(record) for record in hub.registry.versions(name)]
        serving = plan.serving.version if plan else None
        found.append({"model": name, "serving": serving, "versions": versions})
    return found


@router.post("/models/{model}/datasets/{kind}")
async def add_dataset(request: Request, admin: Admin, model: str, kind: str) -> dict[str, Any]:
    """Keep rows for a model: the body is an ``.npz`` with ``X`` and ``y``. A ``warning`` if the
    model is new here.
    """
    raw = await raw_body(request, MODEL_BYTES)
    registry = hub_of(request).registry
    known = await run_in_threadpool(registry.models)
    rows = await run_in_threadpool(registry.add_dataset, model, kind, raw)
    new = {"warning": f"{unknown(model, known)}; the rows wait for its first version"}
    return {"rows": rows} | ({} if model in known else new)
