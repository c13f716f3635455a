"""A hub in this process that is asked over HTTP, and people of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient

from cloud_hub.api.auth import ROOT
from cloud_hub.api.rate_limits import RateLimits
from cloud_hub.api.roles import Role
from cloud_hub.app import create_app
from cloud_hub.hub import Hub
from cloud_hub.people.records import TokenWish
from cloud_hub.settings import RateSettings
from tests.clock import Clock

AddPerson = Callable[..., str]


@pytest.fixture
def clock(inner: Hub) -> Clock:
    """The clock of people, tokens and sessions."""
    clock = Clock(1_800_000_000.0)
    for part in (inner.people, inner.people.tokens, inner.people.sessions):
        part._clock = clock
    return clock


@pytest.fixture
def web(inner: Hub, clock: Clock) -> Iterator[TestClient]:
    app = create_app(inner)
    inner.limits = RateLimits(RateSettings.unlimited())
    app.state.hub = inner  # without its lifespan: the hub is closed by its own fixture
    client = TestClient(app, follow_redirects=False, raise_server_exceptions=True)
    yield client
    client.close()


@pytest.fixture
def add_person(inner: Hub, clock: Clock) -> AddPerson:
    """Add a person, and return a token of theirs."""

    def add(
        name: str, role: str, *models: str, kind: str = "person", seconds: float = 86_400
    ) -> str:
        which = models or None
        inner.people.add(name, Role.of(role), actor="admin", kind=kind, models=which)
        wish = TokenWish("test", name, seconds=seconds)
        return inner.people.tokens.make(wish, by=ROOT)[1]

    return add


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
