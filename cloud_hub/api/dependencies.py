"""Names in paths and queries: dependencies for routes about a model, and a version of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request

from cloud_hub.api.auth import hub_of
from cloud_hub.errors import NotFound
from cloud_hub.text.spelling import did_you_mean, listed


def known_model(request: Request, model: str) -> str:
    """Return the model of a request; raises NotFound with the names of those that exist."""
    models = hub_of(request).registry.models()
    if model not in models:
        raise NotFound(unknown(model, models))
    return model


def unknown(model: str, models: Sequence[str]) -> str:
    """Say that there is no such model, and name those that exist."""
    if not models:
        return f"{model}: no such model; this hub has none until one is published"
    return f"{model}: no such model; {did_you_mean(model, models)}this hub has {listed(models)}"


def known_version(request: Request, model: str, version: str) -> str:
    """Return the version that a path or query names: ``1.2``, ``@champion``, ``latest``, ``3``.

    Whether a version that was named by its number is published, the route finds out.

    Args:
        request: leads to the hub.
        model: name of the line.
        version: as :mod:`cloud_hub.aliases.reference` lists the words.

    Raises:
        Invalid: it is no such word.
        NotFound: nothing has this alias.
    """
    return hub_of(request).aliases.resolve(model, version)


def known_version_if_any(request: Request, model: str, version: str | None = None) -> str | None:
    """Return the same for a query that may name none; raises as that does."""
    return None if version is None else known_version(request, model, version)


KnownModel = Annotated[str, Depends(known_model)]
"""In a route's signature: a model that exists; after ``Admin``, or strangers would learn names."""

KnownVersion = Annotated[str, Depends(known_version)]
"""In a route's signature: a version of that model, named by its number or otherwise."""

MaybeVersion = Annotated[str | None, Depends(known_version_if_any)]
"""In a route's signature: the same for a query that may name none."""
