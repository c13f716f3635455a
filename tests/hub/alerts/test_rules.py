"""When a destination is sent what, and which addresses are never asked."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime

import pytest

from cloud_hub.alerts.addresses import checked_address, is_allowed, networks_of
from cloud_hub.alerts.delivery import failed
from cloud_hub.alerts.quiet import is_quiet
from cloud_hub.alerts.rules import (
    GIVE_UP_SECONDS,
    AlertRules,
    DestinationProgress,
    next_try,
    retry_after_seconds,
    turn,
)
from cloud_hub.alerts.webhook import TryOutcome, checked_webhook
from cloud_hub.errors import Forbidden, Invalid


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


FRIDAY, SATURDAY = "2026-11-27", "2026-11-28"

QUIET = {
    "before it begins": ("Mon-Fri 22:00-06:00", "UTC", f"{FRIDAY} 21:59", False),
    "in the evening": ("Mon-Fri 22:00-06:00", "UTC", f"{FRIDAY} 22:00", True),
    "in the morning after": ("Mon-Fri 22:00-06:00", "UTC", f"{SATURDAY} 05:59", True),
    "on a day without": ("Mon-Fri 22:00-06:00", "UTC", f"{SATURDAY} 22:00", False),
    "over the week's end": ("Sun-Mon 00:00-24:00", "UTC", "2026-11-30 23:59", True),
    "every day": ("22:00-06:00", "UTC", f"{SATURDAY} 23:00", True),
    "in another zone": ("22:00-06:00", "Asia/Tokyo", f"{FRIDAY} 13:30", True),
}


@pytest.mark.parametrize("case", QUIET)
def test_a_quiet_window_holds(case: str) -> None:
    window, zone, moment, holds = QUIET[case]
    assert is_quiet((window,), zone, at(moment)) is holds


@pytest.mark.parametrize("text", ["22-06", "25:00-06:00", "Fry 22:00-06:00", "22:60-06:00", ""])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="Mon-Fri 22:00-06:00"):
        AlertRules(quiet=(text,))


TURNS = {
    "nothing holds it": (AlertRules(), DestinationProgress(0), "all"),
    "a digest is not due": (
        AlertRules(digest_seconds=600.0),
        DestinationProgress(0, sent_at=990.0),
        "urgent",
    ),
    "a digest is due": (
        AlertRules(digest_seconds=600.0),
        DestinationProgress(0, sent_at=300.0),
        "all",
    ),
    "quiet": (AlertRules(quiet=("00:00-24:00",)), DestinationProgress(0), "urgent"),
    "silent": (AlertRules(), DestinationProgress(0, silent_until=1_001.0), "rest"),
    "it failed a moment ago": (AlertRules(), DestinationProgress(0, try_at=1_001.0), "rest"),
    "it failed, before the clock was set back": (
        AlertRules(),
        DestinationProgress(0, try_at=9e9),
        "all",
    ),
    "switched off": (AlertRules(), DestinationProgress(0, disabled="gone"), "rest"),
}


@pytest.mark.parametrize("case", TURNS)
def test_a_destination_has_its_turn(case: str) -> None:
    rules, progress, expected = TURNS[case]
    assert turn(rules, progress, 1_000.0) == expected


def test_tries_become_rarer_and_honour_what_a_receiver_asks_for() -> None:
    waits = [next_try(attempt, None, 0.5) for attempt in range(1, 12)]
    assert waits[:3] == [5.0, 15.0, 45.0]
    assert waits == sorted(waits)
    assert waits[-1] == 3_600.0
    assert next_try(1, 120.0, 0.0) == 120.0
    assert next_try(1, 1e9, 0.0) == 86_400.0
    assert retry_after_seconds("120", 0.0) == 120.0
    assert retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", 0.0) == 60.0
    assert [retry_after_seconds(text, 0.0) for text in (None, "soon", "-1")] == [None, None, None]


def test_a_destination_that_fails_for_days_is_switched_off() -> None:
    once = failed(DestinationProgress(7), TryOutcome(False, "answered 500", 500), 1_000.0, 0.5)
    assert (once.cursor, once.disabled, once.attempts) == (7, None, 1)
    late = failed(once, TryOutcome(False, "answered 500", 500), 1_000.0 + GIVE_UP_SECONDS, 0.5)
    assert late.disabled is not None
    assert "3 days: answered 500" in late.disabled
    assert failed(
        DestinationProgress(7), TryOutcome(False, "", 410, gone=True), 1_000.0, 0.5
    ).disabled


ADDRESSES = {
    "93.184.215.14": True, "2606:2800:21f:cb07::1": True,
    "127.0.0.1": False, "10.1.2.3": False, "192.168.0.1": False, "172.16.0.1": False,
    "169.254.169.254": False, "100.64.0.1": False, "0.0.0.0": False, "224.0.0.1": False,
    "255.255.255.255": False, "::1": False, "::": False, "fe80::1": False, "fd00::1": False,
    "::ffff:127.0.0.1": False, "64:ff9b::7f00:1": False, "2002:7f00:1::": False,
    "ff02::1": False, "::ffff:169.254.169.254": False,
}  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_only_public_addresses_are_asked(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), ()) is ADDRESSES[address]


def test_a_network_is_asked_that_the_operator_allows() -> None:
    allowed = networks_of(["10.0.0.0/8", "::1/128"])
    assert is_allowed(ipaddress.ip_address("10.1.2.3"), allowed)
    assert is_allowed(ipaddress.ip_address("::ffff:10.1.2.3"), allowed)
    assert not is_allowed(ipaddress.ip_address("127.0.0.1"), allowed)
    with pytest.raises(Invalid, match=r"10\.0\.0\.0/8"):
        networks_of(["the office"])


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "[::1]"])
def test_no_spelling_of_this_machine_passes(host: str) -> None:
    with pytest.raises(Forbidden, match="not public"):
        checked_address(host.strip("[]"), 80, ())


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example/", "https://", "https://u:p@a.example/", "https://a.example/#x"),
        *("https://a.example/\r\nX: y", "https://a.example:0/", "https://a.example:99999/"),
    ],
)
def test_a_url_that_is_no_webhook_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="url"):
        checked_webhook(url)
