"""Names in paths: a FastAPI dependency for routes about a model that must exist."""

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


KnownModel = Annotated[str, Depends(known_model)]
"""In a route's signature: a model that exists; after ``Admin``, or strangers would learn names."""
