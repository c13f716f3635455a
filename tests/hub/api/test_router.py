"""Routes of every folder: made once, and with answers that can always be sent."""

from __future__ import annotations

from fastapi.responses import JSONResponse

from cloud_hub.api.declared import routes_of
from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.app import create_app
from cloud_hub.hub import Hub


def test_no_router_is_included_so_that_no_route_is_made_twice(inner: Hub) -> None:
    included = [r for r in create_app(inner).router.routes if hasattr(r, "original_router")]
    assert included == []


def test_a_route_that_answers_json_answers_what_can_always_be_sent(inner: Hub) -> None:
    routes = list(routes_of(create_app(inner)))
    assert len(routes) > 200
    for route in routes:
        response = getattr(route.response_class, "value", route.response_class)
        if issubclass(response, JSONResponse):
            assert response is SafeJSONResponse, f"{route.path}: its router is no HubRouter"
