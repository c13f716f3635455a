"""What each route asks for, read from its dependencies; ``/openapi.json`` has it as ``x-role``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

ATTRIBUTE: Final = "edge_hub_asks_for"
PIPELINE_TOO: Final = "edge_hub_pipeline_too"
EXTENSION: Final = "x-role"

_Dependency = TypeVar("_Dependency", bound=Callable[..., Any])


def asks_for(who: str, *, pipeline: bool = False) -> Callable[[_Dependency], _Dependency]:
    """Return a decorator of a dependency that says whom it lets in.

    Args:
        who: a role, ``device`` or ``anybody``.
        pipeline: the pipeline's token, too.
    """

    def declare(dependency: _Dependency) -> _Dependency:
        setattr(dependency, ATTRIBUTE, who)
        setattr(dependency, PIPELINE_TOO, pipeline)
        return dependency

    return declare


def routes_of(router: Any) -> Iterator[APIRoute]:
    """Yield the routes of a router, or application, and of those that it includes."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from routes_of(inner)


def declared(route: APIRoute) -> str | None:
    """Return whom a route lets in; ``None`` where none of its dependencies says so."""
    return next((who for who, _ in _declared(route.dependant)), None)


def takes_pipeline(route: APIRoute) -> bool:
    """Return whether a route lets in the pipeline's token."""
    return any(pipeline for _, pipeline in _declared(route.dependant))


def declare_in_schema(router: Any) -> None:
    """Have the description of each route say whom it lets in."""
    for route in routes_of(router):
        who = declared(route)
        if who is not None:
            route.openapi_extra = {**(route.openapi_extra or {}), EXTENSION: who}


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for part in dependant.dependencies:
        who = getattr(part.call, ATTRIBUTE, None)
        if who is not None:
            yield who, getattr(part.call, PIPELINE_TOO, False)
        yield from _declared(part)
