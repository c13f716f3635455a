"""Which models there are: a FastAPI dependency for routes about one that must be there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request

from cloud_hub.api.auth import hub_of
from cloud_hub.errors import NotFound
from cloud_hub.text.spelling import did_you_mean, listed


def known_model(request: Request, model: str) -> str:
    """The model of a request; raises NotFound with those that there are."""
    known = hub_of(request).registry.models()
    if model not in known:
        raise NotFound(unknown(model, known))
    return model


def unknown(model: str, known: Sequence[str]) -> str:
    """That there is no such model, and which there are."""
    if not known:
        return f"{model}: no such model; this hub has none until one is published"
    return f"{model}: no such model; {did_you_mean(model, known)}this hub has {listed(known)}"


KnownModel = Annotated[str, Depends(known_model)]
"""For the signatures of routes; after ``Admin``, so that strangers learn no names."""
