"""Signed files for devices; models and versions for administrators and publishers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from cloud_hub.api.artifact_response import artifact_response, content_response
from cloud_hub.api.auth import Member, hub_of, may_see, optional_bearer
from cloud_hub.api.dependencies import KnownModel, KnownVersion
from cloud_hub.api.pipeline_token import (
    AnyPublisher,
    Publisher,
    Reader,
    ReaderOfSome,
    for_administrators,
)
from cloud_hub.api.request_body import Limit, body_file, raw_body
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import Document, as_document
from cloud_hub.polls.documents import CACHE_CONTROL
from cloud_hub.registry.release_page import to_html
from cloud_hub.storage.artifact_store import file_chunks
from edge_sdk.contract.limits import MODEL_BYTES
from edge_sdk.contract.names import check_digest

if TYPE_CHECKING:
    from cloud_hub.aliases.names import NamesOfModel
    from cloud_hub.registry.release_report import ReleaseReport
    from cloud_hub.rush.store import RushMark

router = HubRouter(prefix="/v1")
METADATA_BYTES = 64 << 20

VERSIONS = 1_000
"""Versions of an answer where nobody says how many."""

VersionName = Annotated[str, Query(max_length=40)]


@router.get("/metadata/{name}")
def metadata(request: Request, member: Member, name: str) -> Response:
    """Answer with signed metadata, or 304 where ``If-None-Match`` says that it is there already.

    That is the one cheap question which every device asks again and again.

    Args:
        request: may say what is there already.
        member: a device or an administrator; strangers need not know which models there are.
        name: of the file.
    """
    hub = hub_of(request)
    raw = hub.documents.get(name)
    device = hub.fleet.recognise(optional_bearer(request) or "")
    asked = {} if device is None else hub.asked.told(device.device)
    headers = {"Cache-Control": CACHE_CONTROL, **hub.pace.told(), **asked}
    return content_response(request, raw, headers=headers)


@router.get("/targets/{path:path}")
def target(request: Request, member: Member, path: str) -> Response:
    """Answer with a signed file, whole or a range of it.

    Args:
        request: may ask for a range.
        member: the device, or administrator, that downloads.
        path: of the target, its hash before the name.
    """
    hub = hub_of(request)
    return hub.costs.sent(path, artifact_response(request, hub.repository.targets, path))


@router.get("/releases")
def releases(request: Request, person: AnyPublisher) -> Response:
    """Answer with the newest ``releases`` metadata, for a publisher to add to and sign."""
    raw = hub_of(request).repository.releases().to_bytes()
    return Response(raw, media_type="application/json")


@router.put("/blobs/{digest}", status_code=204)
async def put_blob(request: Request, person: AnyPublisher, digest: str) -> Response:
    """Store content under its SHA-256.

    Args:
        request: its body is the content.
        person: who uploads.
        digest: SHA-256 that the content must have.
    """
    check_digest("blob", digest)
    hub = hub_of(request)
    async with body_file(request, MODEL_BYTES, hub.settings.data) as file:
        await run_in_threadpool(hub.blobs.put_checked, digest, file_chunks(file))
    return Response(status_code=204)


@router.head("/blobs/{digest}", status_code=204)
def has_blob(request: Request, person: AnyPublisher, digest: str) -> Response:
    """Answer 204 if content was uploaded already, else 404.

    Args:
        request: leads to the hub.
        person: who asks.
        digest: SHA-256 of the content.
    """
    return Response(status_code=204 if hub_of(request).blobs.exists(digest) else 404)


@router.post("/models/{model}/versions/{version}")
async def publish(
    request: Request,
    person: Publisher,
    model: str,
    version: str,
    state: str | None = None,
    override: str | None = None,
) -> Any:
    """Publish a version.

    Args:
        request: its body is ``releases`` metadata that the publisher signed.
        person: who publishes.
        model: name of the line.
        version: that is new.
        state: SHA-256 of the blob from which a stateful run continues.
        override: reason to pass over the offline gate.
    """
    if override is not None:
        for_administrators(person, "override")
    raw = await raw_body(request, METADATA_BYTES)
    registry = hub_of(request).registry
    record = await run_in_threadpool(
        registry.accept, raw, model, version, actor=person, state=state, override=override
    )
    return asdict(record)


@router.get("/models")
def models(request: Request, person: ReaderOfSome) -> list[Any]:
    """Return every model with its versions and the one that serves."""
    hub = hub_of(request)
    rows, every = [], hub.aliases.every()
    for name in hub.registry.models():
        if not may_see(request, name):
            continue
        plan = hub.plans.current(name)
        versions = [asdict(record) for record in hub.registry.versions(name)]
        serving = plan.serving.version if plan else None
        names = every[name]
        rows.append(
            {
                **names.model.document(), "model": name, "serving": serving,
                "versions": versions, "aliases": names.aliases,
            }
        )  # fmt: skip
    return rows


@router.get("/models/{model}/versions")
def versions(
    request: Request,
    person: Reader,
    model: KnownModel,
    limit: Limit = VERSIONS,
    before: VersionName | None = None,
) -> list[Any]:
    """Return a model's versions, oldest first, each with the variants that its release holds.

    ``rare_day`` is the mark of a version that was trained on one.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        limit: versions at most, the newest.
        before: only those that were published before this one: the page before.
    """
    hub = hub_of(request)
    marks, names = hub.rush.marks(model), hub.aliases.names(model)
    return [
        _marked(report, marks.get(report.version.version), names)
        for report in hub.registry.reports(model, limit, before=before)
    ]


@router.get("/models/{model}/versions/{version}")
def version(request: Request, person: Reader, model: KnownModel, version: KnownVersion) -> Any:
    """Return one version with its variants and the words of their certificates."""
    hub = hub_of(request)
    mark, names = hub.rush.marks(model).get(version), hub.aliases.names(model)
    return _marked(hub.registry.report(model, version), mark, names)


@router.get("/models/{model}/versions/{version}/release.html")
def release_page(
    request: Request, person: Reader, model: KnownModel, version: KnownVersion
) -> HTMLResponse:
    """The same as one page."""
    hub = hub_of(request)
    mark = hub.rush.marks(model).get(version)
    return HTMLResponse(to_html(hub.registry.report(model, version), mark))


def _marked(report: ReleaseReport, mark: RushMark | None, names: NamesOfModel) -> Document:
    rare_day = as_document(mark) if mark is not None else None
    given = names.of(report.version.version).document()
    return {**as_document(report), **given, "rare_day": rare_day}
