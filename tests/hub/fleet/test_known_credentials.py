"""Credentials in memory: for seconds, few, and never once something about a device has changed."""

from __future__ import annotations

import pytest

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import IdentityStopped, Unauthenticated
from cloud_hub.fleet.known_credentials import SECONDS, KnownCredentials
from cloud_hub.hub import Hub
from edge_sdk.hub.device_key import DeviceKey
from tests.clock import Clock
from tests.simulated_device import MemoryChain

ONE, TWO = (EnrolledDevice(name, ("demo",)) for name in ("d-1", "d-2"))


def test_a_credential_is_known_for_seconds() -> None:
    clock = Clock(100.0)
    known = KnownCredentials(clock)
    known.learn("a", ONE, 50.0, known.changes)
    found = known.get("a")
    assert found is not None
    assert (found.device, found.given_at) == (ONE, 50.0)
    clock.now += SECONDS
    assert known.get("a") is None


def test_what_was_read_before_a_change_is_not_remembered_after_it() -> None:
    known = KnownCredentials(Clock(100.0))
    before = known.changes
    known.forget("d-1")  # while the database was being asked
    known.learn("a", ONE, 50.0, before)
    assert known.get("a") is None


def test_a_device_has_one_credential_and_the_oldest_are_looked_up_again() -> None:
    known = KnownCredentials(Clock(100.0), most=2)
    known.learn("a", ONE, 50.0, 0)
    known.learn("b", ONE, 60.0, 0)
    assert known.get("a") is None
    known.learn("c", TWO, 60.0, 0)
    known.learn("d", EnrolledDevice("d-3", ()), 60.0, 0)
    assert [known.get(name) is not None for name in "bcd"] == [False, True, True]
    assert len(known) == 2


@pytest.fixture
def device(inner: Hub) -> tuple[DeviceKey, str, MemoryChain]:
    key = DeviceKey.generate()
    token = inner.fleet.new_token("demo", uses=1, seconds=60, actor="ann")
    name = inner.fleet.enrol(token, key.enrolment(("demo",), token)).device
    return key, name, MemoryChain(key, name)


def _credential(hub: Hub, chain: MemoryChain) -> str:
    credential = hub.fleet.identities.new_credential(chain.request()).credential
    chain.advance()
    hub.fleet.authenticate(credential)
    assert hub.fleet.recognise(credential) is not None
    return credential


def test_a_new_credential_voids_the_one_before_at_once(
    inner: Hub, device: tuple[DeviceKey, str, MemoryChain]
) -> None:
    first = _credential(inner, device[2])
    second = _credential(inner, device[2])
    assert inner.fleet.recognise(first) is None
    with pytest.raises(Unauthenticated):
        inner.fleet.authenticate(first)
    assert inner.fleet.authenticate(second).device == device[1]


def test_a_device_that_is_revoked_or_forgotten_or_cloned_is_unknown_at_once(
    inner: Hub, device: tuple[DeviceKey, str, MemoryChain]
) -> None:
    key, name, chain = device
    identities = inner.fleet.identities
    credential = _credential(inner, chain)
    identities.revoke(name, reason="stolen", actor="ann")
    assert inner.fleet.recognise(credential) is None
    identities.approve(name, actor="ann")
    credential = _credential(inner, chain)
    with pytest.raises(IdentityStopped):
        identities.new_credential(MemoryChain(key, name).request())  # a copy, from the start
    assert inner.fleet.recognise(credential) is None
    identities.approve(name, actor="ann")
    credential = _credential(inner, MemoryChain(key, name))
    inner.fleet.forget(name, reason="asked for", actor="ann")
    assert inner.fleet.recognise(credential) is None


def test_a_device_that_joins_one_more_model_has_it_at_once(
    inner: Hub, device: tuple[DeviceKey, str, MemoryChain]
) -> None:
    key, _, chain = device
    credential = _credential(inner, chain)
    more = inner.fleet.new_token("other", uses=1, seconds=60, actor="ann")
    inner.fleet.enrol(more, key.enrolment(("other",), more))
    assert inner.fleet.authenticate(credential).models == ("demo", "other")


def test_many_credentials_are_looked_up_at_once_and_wrong_ones_are_nobodys(
    inner: Hub, device: tuple[DeviceKey, str, MemoryChain]
) -> None:
    credential = _credential(inner, device[2])
    inner.fleet.known.clear()
    found = inner.fleet.look_up([credential, "noise", credential])
    assert [each and each.device for each in found] == [device[1], None, device[1]]
