"""What people call models and versions, by HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response

from cloud_hub.api.auth import Operator, hub_of
from cloud_hub.api.dependencies import KnownModel
from cloud_hub.api.pipeline_token import Reader
from cloud_hub.api.router import HubRouter

router = HubRouter(prefix="/v1/models/{model}")
Word = Annotated[str, Query(max_length=200)]
Text = Annotated[str, Query(max_length=10_000)]


@router.get("/names")
def names(request: Request, person: Reader, model: KnownModel) -> Any:
    """Return aliases, tags and descriptions of a model and its versions."""
    return hub_of(request).aliases.names(model).document()


@router.get("/resolve")
def resolve(request: Request, person: Reader, model: KnownModel, version: Word) -> Any:
    """Return the version that ``@champion``, ``latest``, ``3`` or ``models:/M@champion`` names.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        version: the word.
    """
    hub = hub_of(request)
    record = hub.registry.version(model, hub.aliases.resolve(model, version))
    return {"model": model, "version": record.version, "manifest": record.manifest}


@router.put("/aliases/{alias}")
def set_alias(
    request: Request, person: Operator, model: KnownModel, alias: str, version: Word
) -> Any:
    """Give a version an alias; it leaves the version that had it.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        alias: the name.
        version: that gets it, by number or by another alias.
    """
    found = hub_of(request).aliases.set_alias(model, alias, version, actor=person)
    return {"model": model, "alias": alias, "version": found}


@router.delete("/aliases/{alias}", status_code=204)
def remove_alias(request: Request, person: Operator, model: KnownModel, alias: str) -> Response:
    """Take an alias away."""
    hub_of(request).aliases.remove_alias(model, alias, actor=person)
    return Response(status_code=204)


@router.put("/tags/{key:path}", status_code=204)
def set_tag(
    request: Request,
    person: Operator,
    model: KnownModel,
    key: str,
    value: Text,
    version: Word | None = None,
) -> Response:
    """Tag a model, or one of its versions.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        key: of the tag.
        value: of the tag.
        version: that is tagged; default the model.
    """
    hub_of(request).aliases.set_tag(model, key, value, word=version, actor=person)
    return Response(status_code=204)


@router.delete("/tags/{key:path}", status_code=204)
def remove_tag(
    request: Request, person: Operator, model: KnownModel, key: str, version: Word | None = None
) -> Response:
    """Take a tag away.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        key: of the tag.
        version: that has it; default the model.
    """
    hub_of(request).aliases.remove_tag(model, key, word=version, actor=person)
    return Response(status_code=204)


@router.put("/description", status_code=204)
def describe(
    request: Request,
    person: Operator,
    model: KnownModel,
    text: Text,
    version: Word | None = None,
) -> Response:
    """Say what a model or a version is; an empty text takes the description away.

    Args:
        request: leads to the hub.
        person: who asks.
        model: name of the line.
        text: in words.
        version: that is described; default the model.
    """
    hub_of(request).aliases.describe(model, text, word=version, actor=person)
    return Response(status_code=204)
