"""Credentials on the device: when one is asked for, and how a hub that is busy is left alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.fleet import CredentialReply, CredentialRequest
from edge_sdk.errors import HubUnreachable, IdentityRefused
from edge_sdk.hub.credentials import Credentials
from edge_sdk.hub.device_key import DeviceKey
from edge_sdk.hub.pause import DEFAULT, LONGEST, Pause, retry_after
from edge_sdk.update.syncer import REFUSED_SECONDS, SyncResult, SyncSchedule
from tests.clock import Clock
from tests.simulated_device import MemoryChain
from tests.waiting import PATIENCE


class Exchange:
    """A hub that answers with credentials of an hour; ``error`` is raised instead."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.error: Exception | None = None

    def __call__(self, request: CredentialRequest) -> CredentialReply:
        self.asked.append((request.generation, request.nonce))
        if self.error is not None:
            raise self.error
        return CredentialReply(f"credential-{len(self.asked)}", 3_600.0)


@pytest.fixture
def hub() -> Exchange:
    return Exchange()


def credentials(clock: Clock) -> Credentials:
    return Credentials(MemoryChain(DeviceKey.generate(), "d-1"), clock)


def test_a_credential_is_used_until_it_is_due_and_renewed_before_it_expires(hub: Exchange) -> None:
    clock = Clock(1_000.0)
    own = credentials(clock)
    assert [own.current(hub), own.current(hub)] == ["credential-1"] * 2
    clock.now += 2_800
    assert own.current(hub) == "credential-1"
    clock.now += 100
    assert own.current(hub) == "credential-2"
    assert [generation for generation, _ in hub.asked] == [0, 1]


def test_a_request_without_an_answer_is_repeated_as_it_was(hub: Exchange) -> None:
    own = credentials(Clock(0.0))
    hub.error = HubUnreachable("away")
    for _ in range(3):
        with pytest.raises(HubUnreachable):
            own.current(hub)
    hub.error = None
    own.current(hub)
    assert len(set(hub.asked)) == 1


def test_a_credential_that_was_refused_is_replaced_once_for_all_threads(hub: Exchange) -> None:
    own = credentials(Clock(0.0))
    old = own.current(hub)
    barrier, seen = threading.Barrier(6), []

    def refused() -> None:
        barrier.wait(PATIENCE)
        own.discard(old)
        seen.append(own.current(hub))

    threads = [threading.Thread(target=refused) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (set(seen), len(hub.asked)) == ({"credential-2"}, 2)


def test_a_hub_that_says_no_is_not_asked_again_before_the_next_sync(hub: Exchange) -> None:
    own = credentials(Clock(0.0))
    assert own.standing is None
    hub.error = IdentityRefused("d-1 was revoked", 403, "revoked")
    for _ in range(5):
        with pytest.raises(IdentityRefused, match="was revoked"):
            own.current(hub)
    assert len(hub.asked) == 1
    assert own.standing == "revoked"
    own.ask_again()
    hub.error = HubUnreachable("away")
    with pytest.raises(HubUnreachable):
        own.current(hub)
    assert own.standing == "revoked"  # it is still the hub's last word
    hub.error = None
    assert own.current(hub) == "credential-3"
    assert (own.refusal, own.standing) == (None, "active")


RETRY_AFTER: dict[str, tuple[dict[str, str], float]] = {
    "seconds": ({"Retry-After": "17"}, 17.0),
    "nothing": ({}, DEFAULT),
    "a year": ({"Retry-After": "31536000"}, LONGEST),
    "noise": ({"Retry-After": "soon"}, DEFAULT),
    "a negative number": ({"Retry-After": "-5"}, DEFAULT),
    "a date, by the hub's own clock": (
        {"Retry-After": "Fri, 01 Jan 2100 00:01:00 GMT", "Date": "Fri, 01 Jan 2100 00:00:00 GMT"},
        60.0,
    ),
    "a date that is over": (
        {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT", "Date": "Fri, 01 Jan 2100 00:01:00 GMT"},
        0.0,
    ),
    "a date without another": ({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, DEFAULT),
    "a date without a zone": (
        {"Retry-After": "Fri, 01 Jan 2100 00:01:00", "Date": "Fri, 01 Jan 2100 00:00:00 GMT"},
        DEFAULT,
    ),
    "more digits than a float takes": ({"Retry-After": "9" * 400}, LONGEST),
}


@pytest.mark.parametrize("case", RETRY_AFTER)
def test_the_time_that_a_hub_asks_for_is_read_and_bounded(case: str) -> None:
    headers, seconds = RETRY_AFTER[case]
    assert retry_after(headers) == seconds


def test_a_pause_ends_by_itself_and_a_shorter_one_does_not_end_it() -> None:
    clock = Clock(0.0)
    pause = Pause(clock)
    pause.begin(60)
    pause.begin(5)
    assert pause.left == 60
    clock.now = 61
    assert pause.left == 0


AFTER: dict[str, tuple[dict[str, Any], float, float]] = {
    "a busy hub": ({"retry_after": 300.0}, 300, 450),
    "a device that waits for approval": ({"refused": "pending"}, 0, 5),
    "a revoked device": ({"refused": "revoked"}, 0.8 * REFUSED_SECONDS, 1.2 * REFUSED_SECONDS),
    "a cloned device": ({"refused": "cloned"}, 0.8 * REFUSED_SECONDS, 1.2 * REFUSED_SECONDS),
}


@pytest.mark.parametrize("case", AFTER)
def test_the_next_sync_comes_when_it_can_help(case: str) -> None:
    fields, least, most = AFTER[case]
    result = SyncResult(errors={"plan": "no"}, **fields)
    waits = [SyncSchedule(DeviceConfig()).after(result) for _ in range(50)]
    assert least <= min(waits) <= max(waits) <= most
    assert len(set(waits)) > 1  # a fleet does not come back in step


def test_a_key_signs_and_never_shows_its_secret() -> None:
    key = DeviceKey(bytes(range(32)))
    assert key.seed.hex() not in repr(key)
    assert DeviceKey(key.seed) == key
    assert len({key, DeviceKey(key.seed), DeviceKey.generate()}) == 2
