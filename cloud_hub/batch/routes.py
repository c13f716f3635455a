"""Batch jobs, generations and answers by entity, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from cloud_hub.api.auth import PUBLIC, Operator, Publishing, current_person, device, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.pipeline_token import Reader, RunStarter
from cloud_hub.api.request_body import Limit, Moment, Number, message
from cloud_hub.api.rights import GenerationOperator, GenerationReader
from cloud_hub.api.router import HubRouter
from cloud_hub.batch.entity_answer import EntityAnswer
from cloud_hub.batch.exporting import exported
from cloud_hub.database.documents import Document, as_document, as_documents
from cloud_hub.errors import Forbidden, NotFound
from edge_sdk.contract.errors import require

router = HubRouter(prefix="/v1")
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class PastMoments:
    """Body of a backfill: moments in Unix seconds."""

    moments: tuple[float, ...]


@dataclass(frozen=True)
class EntityNames:
    """Body of a look-up of many: names, and the job where a model has several."""

    entities: tuple[str, ...]
    job: str | None = None

    def __post_init__(self) -> None:
        require(bool(self.entities), "entities: expected at least one")


@router.get("/models/{model}/batch")
def jobs(request: Request, person: Reader, model: KnownModel) -> list[Document]:
    """Return the batch jobs of a model's policy as they stand."""
    return as_documents(hub_of(request).batches.jobs(model))


@router.get("/models/{model}/entities")
def entities(request: Request, person: Reader, model: KnownModel) -> Document:
    """Return which answers by entity devices hold, and why no newer ones."""
    return as_document(hub_of(request).entity_packs.status(model))


@router.post("/models/{model}/entities")
def publish_entities(request: Request, person: RunStarter, model: KnownModel) -> Document:
    """Have the newest generation published for devices, even if it was refused before."""
    return as_document(hub_of(request).entity_packs.again(model, actor=person))


@router.get("/models/{model}/batch/{job}/generations")
def generations(
    request: Request, person: Reader, model: KnownModel, job: str, limit: Limit = 100
) -> list[Document]:
    """Return the newest generations of a job, oldest first."""
    return as_documents(hub_of(request).batches.records(model, job, limit))


@router.post("/models/{model}/batch/{job}/generations")
async def run(
    request: Request, person: RunStarter, model: KnownModel, job: str, as_of: Moment | None = None
) -> Document:
    """Ask for a generation now."""
    record = await run_in_threadpool(
        hub_of(request).batches.run, model, job, actor=person, as_of=as_of
    )
    return as_document(record)


@router.post("/models/{model}/batch/{job}/backfill")
async def backfill(
    request: Request, person: Operator, model: KnownModel, job: str
) -> list[Document]:
    """Ask for generations of the moments in the body."""
    body = await message(request, PastMoments, MOST_BYTES)
    records = await run_in_threadpool(
        hub_of(request).batches.backfill, model, job, body.moments, actor=person
    )
    return as_documents(records)


@router.get("/generations/{id_}")
def show(request: Request, person: GenerationReader, id_: Number) -> Document:
    """Return one generation."""
    return as_document(hub_of(request).batches.get(id_))


@router.post("/generations/{id_}/cancel")
def cancel(
    request: Request, person: GenerationOperator, id_: Number, reason: str = "by hand"
) -> Document:
    """End a generation that waits or runs."""
    return as_document(hub_of(request).batches.cancel(id_, actor=person, reason=reason))


@router.post("/generations/{id_}/drop")
def drop(
    request: Request, person: GenerationOperator, id_: Number, reason: str = "by hand"
) -> Document:
    """Drop a generation, so that the one before answers."""
    return as_document(hub_of(request).batches.drop(id_, actor=person, reason=reason))


@router.get("/models/{model}/batch/{job}/export")
def export(
    request: Request,
    person: Publishing,
    model: KnownModel,
    job: str,
    form: Annotated[Literal["parquet", "csv", "sqlite"], Query(alias="format")] = "parquet",
    generation: Number | None = None,
) -> StreamingResponse:
    """Return a generation as one file, by default the one that answers."""
    hub = hub_of(request)
    if generation is not None:
        chosen = hub.generations.get(generation)
    else:
        hub.batches.job(model, job)
        current = hub.generations.current(model, job)
        if current is None:
            raise NotFound(f"{model} {job}: no generation is whole yet")
        chosen = current
    if (chosen.record.model, chosen.record.job) != (model, job):
        raise NotFound(f"generation {generation}: is none of {model} {job}")
    return StreamingResponse(exported(chosen, form, hub.settings.data))


@router.get("/models/{model}/predictions/{entity:path}", dependencies=PUBLIC)
def predict(request: Request, model: str, entity: str, job: str | None = None) -> Document:
    """Return the answer to one entity; devices may ask where the policy lets them."""
    [answer] = _answers(request, model, job, [entity])
    if answer.source == "none":
        raise NotFound(
            f"{entity}: {model} {answer.job} has no answer for it: it is not among those that were "
            "computed, or they are too old, no features of it are stored, and there is no default"
        )
    return as_document(answer)


@router.post("/models/{model}/predictions", dependencies=PUBLIC)
async def predict_many(request: Request, model: str) -> list[Document]:
    """Return answers to many entities, in order; ``source`` is ``none`` where there is none."""
    body = await message(request, EntityNames, MOST_BYTES)
    answers = await run_in_threadpool(_answers, request, model, body.job, body.entities)
    return as_documents(answers)


def _answers(
    request: Request, model: str, job: str | None, entities: tuple[str, ...] | list[str]
) -> list[EntityAnswer]:
    hub = hub_of(request)
    person = current_person(request)
    if person is not None and not person.sees(model):
        raise NotFound(f"{model:.80}: no such model among those of {person.name}")
    if person is None and model not in device(request).models:
        raise Forbidden(f"{model}: this device belongs to other models")
    name, found = hub.lookups.job(model, job)
    if person is None and not found.devices:
        raise Forbidden(f"{model} {name}: its policy lets people ask only; devices: true")
    return hub.lookups.find(model, name, found, entities)
