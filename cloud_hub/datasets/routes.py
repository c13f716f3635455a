"""Datasets over HTTP: for administrators, and for pipelines that bring rows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from cloud_hub.api.auth import Publishing, hub_of
from cloud_hub.api.dependencies import KnownModel, KnownVersion, unknown
from cloud_hub.api.pipeline_token import Publisher, Reader, for_administrators
from cloud_hub.api.request_body import body_file
from cloud_hub.api.router import HubRouter
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.writing import Format, written
from cloud_hub.database.documents import Document, as_document, as_documents
from cloud_hub.datasets.records import HOLDOUT, DatasetRecord, DatasetRef
from cloud_hub.errors import Conflict
from cloud_hub.policy.schema.validation import ValidationPolicy
from edge_sdk.contract.limits import MODEL_BYTES

router = HubRouter(prefix="/v1")


@router.post("/models/{model}/datasets/{name}")
async def add(
    request: Request,
    person: Publisher,
    model: str,
    name: str,
    label: str | None = None,
    time: str | None = None,
    device: str | None = None,
    source: str = "",
) -> Any:
    """Store rows as the next version; answer with its record, a ``warning`` if the model is new.

    Args:
        request: its body is CSV, Parquet, or an ``.npz`` with ``X`` [N, columns] and ``y`` [N].
        person: who uploads.
        model: name of the line.
        name: ``holdout``, ``catalogue``, ``train`` or another.
        label: column of the labels; by default ``y``.
        time: column that says when each row was.
        device: column that says of which device each row is.
        source: where the rows came from, in words.
    """
    if name == HOLDOUT:
        for_administrators(person, "dataset holdout")
    hub = hub_of(request)
    # Before the rows are added: a typo would be one of the models afterwards.
    models = await run_in_threadpool(hub.registry.models)
    async with body_file(request, MODEL_BYTES, hub.settings.data) as file:

        def store() -> Document:
            data = Dataset.read(file, label=label, time=time, device=device)
            added = hub.datasets.add(model, name, data, actor=person, source=source)
            return as_document(added)

        record = await run_in_threadpool(store)
    new = {"warning": f"{unknown(model, models)}; the rows wait for its first version"}
    return {**record, **({} if model in models else new)}


@router.get("/models/{model}/datasets")
def versions(
    request: Request, person: Reader, model: KnownModel, name: str | None = None
) -> list[Document]:
    """Every version of a model's datasets, oldest first."""
    return as_documents(hub_of(request).datasets.records(model, name))


@router.get("/models/{model}/datasets/{ref}")
def show(request: Request, person: Reader, model: KnownModel, ref: str) -> Document:
    """One version: its record, the ``statistics`` of its columns, and who was made with it."""
    datasets = hub_of(request).datasets
    record = _record(request, person, model, ref)
    used = {
        version: uses
        for version, by_use in datasets.uses(model).items()
        if (uses := sorted(use for use, refs in by_use.items() if record.ref in refs))
    }
    known = datasets.statistics(record)
    statistics = None if known is None else as_document(known)
    return {**as_document(record), "statistics": statistics, "versions": used}


@router.get("/models/{model}/datasets/{ref}/rows")
def rows(
    request: Request,
    person: Publishing,
    model: KnownModel,
    ref: str,
    format: Format = "parquet",  # noqa: A002 (the parameter's name in the URL)
) -> Response:
    """Rows of one version as a file."""
    datasets = hub_of(request).datasets
    raw = written(datasets.open(datasets.get(model, ref)), format)
    return Response(raw, media_type="application/octet-stream")


@router.get("/models/{model}/datasets/{ref}/diff")
def diff(
    request: Request, person: Reader, model: KnownModel, ref: str, before: str | None = None
) -> Document:
    """What is another in a version than in one ``before``; by default in its parent."""
    datasets = hub_of(request).datasets
    record = _record(request, person, model, ref)
    parent = DatasetRef(record.name, number=record.parent or record.number)
    return as_document(datasets.diff(model, before or str(parent), record.ref))


@router.get("/models/{model}/datasets/{ref}/validation")
def validation(
    request: Request, person: Reader, model: KnownModel, ref: str, before: str | None = None
) -> Document:
    """The checks that a run makes before it trains on a version, against one ``before``."""
    hub = hub_of(request)
    policy, plan = hub.registry.policy(model).train, hub.plans.current(model)
    report = hub.validation.validate(
        _record(request, person, model, ref),
        ValidationPolicy() if policy is None else policy.validation,
        version=None if plan is None else plan.serving.version,
        against=before,
    )
    return {**as_document(report), "ok": report.ok}


@router.post("/models/{model}/datasets/{ref}/tags/{tag}")
def tag(request: Request, person: Publishing, model: KnownModel, ref: str, tag: str) -> Document:
    """Give a version another name."""
    return as_document(hub_of(request).datasets.tag(model, ref, tag, actor=person))


@router.post("/models/{model}/versions/{version}/datasets")
def note_uses(
    request: Request,
    person: Publisher,
    model: KnownModel,
    version: str,
    trained: Annotated[list[str], Query()],
) -> Document:
    """Note what a version that was trained elsewhere was trained on: ``NAME@N`` each."""
    hub = hub_of(request)
    hub.registry.version(model, version)
    noted = hub.datasets.uses(model, version).get(version, {}).get("trained", [])
    refs = sorted(hub.datasets.get(model, ref).ref for ref in trained)
    # What a run noted is no claim of somebody's, and nobody changes it afterwards.
    if noted and sorted(noted) != refs:
        raise Conflict(f"{model} {version}: was trained on {', '.join(noted)}, as noted before")
    hub.datasets.set_uses(model, version, "trained", refs)
    return uses(request, person, model, version)


@router.get("/models/{model}/versions/{version}/datasets")
def uses(request: Request, person: Reader, model: KnownModel, version: KnownVersion) -> Document:
    """What a version of the model was ``trained`` and ``judged`` on, as ``NAME@N``."""
    hub = hub_of(request)
    hub.registry.version(model, version)
    return dict(hub.datasets.uses(model, version).get(version, {}).items())


def _record(request: Request, publisher: str, model: str, ref: str) -> DatasetRecord:
    """Return a version; raises Forbidden if a pipeline asks for what the gate judges by."""
    record = hub_of(request).datasets.get(model, ref)
    if record.name == HOLDOUT:
        for_administrators(publisher, "dataset holdout")
    return record
