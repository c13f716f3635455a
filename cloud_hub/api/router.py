"""Routers of the hub's folders."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from cloud_hub.api.json_response import SafeJSONResponse


class HubRouter(APIRouter):
    """A router whose routes are the application's as they are.

    FastAPI would make each of them once more where a router is included, to give it the
    application's class of answers; these have it from the beginning.

    Args:
        options: those of ``APIRouter``, such as ``prefix``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(default_response_class=SafeJSONResponse, **options)
