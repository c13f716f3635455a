"""What each route asks for, read from its dependencies; ``/openapi.json`` has it as ``x-role``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

ATTRIBUTE: Final = "edge_hub_asks_for"
EXTENSION: Final = "x-role"

_Dependency = TypeVar("_Dependency", bound=Callable[..., Any])


def asks_for(who: str) -> Callable[[_Dependency], _Dependency]:
    """Return a decorator of a dependency: it lets in a role, a ``device`` or ``anybody``."""

    def declare(dependency: _Dependency) -> _Dependency:
        setattr(dependency, ATTRIBUTE, who)
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
    return next(_declared(route.dependant), None)


def declare_in_schema(router: Any) -> None:
    """Have the description of each route say whom it lets in."""
    for route in routes_of(router):
        who = declared(route)
        if who is not None:
            route.openapi_extra = {**(route.openapi_extra or {}), EXTENSION: who}


def _declared(dependant: Dependant) -> Iterator[str]:
    for part in dependant.dependencies:
        who = getattr(part.call, ATTRIBUTE, None)
        if who is not None:
            yield who
        yield from _declared(part)
