"""Who asks, and how often they may: the dependencies of routes, with requests as they come."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
from fastapi import Request

from cloud_hub.api import auth
from cloud_hub.api.rate_limits import RateLimits
from cloud_hub.errors import Forbidden, IdentityStopped, TooManyRequests, Unauthenticated
from cloud_hub.hub import Hub
from cloud_hub.pages import docs
from cloud_hub.settings import Rate, RateSettings
from edge_sdk.hub.device_key import DeviceKey
from tests.clock import Clock
from tests.simulated_device import MemoryChain

STINGY = RateSettings(device=Rate(1, 2), address=Rate(1, 2), failures=Rate(1, 2))


def asked(hub: Hub, header: str | None = None, address: str | None = "192.0.2.1") -> Request:
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]
    app = SimpleNamespace(state=SimpleNamespace(hub=hub))
    client = None if address is None else (address, 4711)
    return Request({"type": "http", "headers": headers, "client": client, "app": app})


def new_device(hub: Hub) -> tuple[str, str]:
    """Name and credential of a new device."""
    key, token = DeviceKey.generate(), hub.fleet.new_token("demo", uses=1, seconds=60, actor="ann")
    device = hub.fleet.enrol(token, key.enrolment(("demo",), token)).device
    request = MemoryChain(key, device).request()
    return device, hub.fleet.identities.new_credential(request).credential


@pytest.fixture
def stingy(inner: Hub) -> Hub:
    inner.limits = RateLimits(STINGY, Clock(100.0))
    return inner


def test_a_device_that_asks_too_often_is_told_so_and_its_neighbours_are_served(
    stingy: Hub,
) -> None:
    device, own = new_device(stingy)
    for _ in range(2):
        assert auth.device(asked(stingy, f"Bearer {own}")).device == device
    with pytest.raises(TooManyRequests):
        auth.device(asked(stingy, f"Bearer {own}"))
    neighbour, other = new_device(stingy)
    assert auth.device(asked(stingy, f"Bearer {other}")).device == neighbour
    admin = (stingy.settings.data / "admin.token").read_text()
    for _ in range(9):
        assert auth.admin(asked(stingy, f"Bearer {admin}")) == "admin"


def test_whoever_sends_noise_for_a_credential_is_limited_by_address(stingy: Hub) -> None:
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            auth.device(asked(stingy, "Bearer noise"))
    with pytest.raises(TooManyRequests):
        auth.device(asked(stingy, "Bearer noise"))
    with pytest.raises(Unauthenticated):
        auth.device(asked(stingy, "Bearer noise", "192.0.2.2"))


def test_a_device_that_was_stopped_is_told_so_wherever_it_asks(inner: Hub) -> None:
    device, own = new_device(inner)
    with inner.engine.begin() as db:  # between two of its requests, its credential still there
        db.exec_driver_sql("UPDATE identities SET standing = 'revoked'")
    for ask in (auth.device, auth.member):
        with pytest.raises(IdentityStopped, match=device):
            ask(asked(inner, f"Bearer {own}"))
    with pytest.raises(Forbidden):
        auth.admin(asked(inner, f"Bearer {own}"))


WITHOUT = [None, "", "Bearer", "Bearer ", "Basic abc", "bearer", "Token x"]


@pytest.mark.parametrize("header", WITHOUT)
def test_a_request_without_a_token_is_401(inner: Hub, header: str | None) -> None:
    for ask in (auth.device, auth.member, auth.admin):
        with pytest.raises(Unauthenticated, match="Authorization: Bearer TOKEN"):
            ask(asked(inner, header))


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_where_there_is_no_administrators_token_nobody_is_the_administrator(
    inner: Hub, content: bytes | None
) -> None:
    path = inner.settings.data / "admin.token"
    path.unlink() if content is None else path.write_bytes(content)
    for guess in ("", " ", "\n", "x"):
        assert not auth.is_admin(inner, guess)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_pages_for_administrators_take_the_token_as_a_browsers_password(inner: Hub) -> None:
    admin = (inner.settings.data / "admin.token").read_text()
    docs._reader(asked(inner, basic(f"anybody:{admin}")))
    docs._reader(asked(inner, f"Bearer {admin}"))
    for header in (None, basic("anybody:x"), basic(admin), "Basic ä", "Basic abc", "Basic"):
        with pytest.raises(Unauthenticated):
            docs._reader(asked(inner, header))


ADDRESSES = {
    "192.0.2.7": "192.0.2.7",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "::ffff:192.0.2.7": "192.0.2.7",
    "a socket": "a socket",
    "x" * 5_000: "x" * 64,
    None: "unknown",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_whom_a_request_comes_from_is_an_address_or_a_network(
    inner: Hub, address: str | None
) -> None:
    assert auth.address_of(asked(inner, address=address)) == ADDRESSES[address]
