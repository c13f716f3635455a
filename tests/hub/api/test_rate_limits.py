"""Rates: pure buckets, and what a hub lets through of whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.api.rate_limits import Buckets, RateLimits
from cloud_hub.errors import IdentityStopped, TooManyRequests, Unauthenticated
from cloud_hub.settings import Rate, RateSettings
from tests.clock import Clock

SMALL = RateSettings(Rate(1, 3), Rate(1, 3), Rate(0.1, 2))


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.5, 20), st.integers(1, 10))
def test_no_more_are_let_through_than_the_burst_and_what_came_back_since(
    gaps: list[float], per_second: float, burst: int
) -> None:
    buckets, now, taken = Buckets(Rate(per_second, burst)), 100.0, 0
    for gap in gaps:
        now += gap
        wait = buckets.take("a", now)
        taken += wait == 0
        assert taken <= burst + per_second * (now - 100.0) + 1e-6
        if wait:  # whoever waits for as long as they were told is let through
            now += wait + 1e-6
            assert buckets.take("a", now) == 0
            taken += 1


def test_a_clock_that_goes_back_lets_nobody_in() -> None:
    buckets = Buckets(Rate(1, 1))
    assert buckets.take("a", 100.0) == 0
    assert buckets.take("a", 50.0) > 0
    assert buckets.take("a", 100.5) > 0
    assert buckets.take("a", 101.1) == 0


def test_as_many_addresses_as_an_attacker_has_take_a_bounded_memory() -> None:
    buckets = Buckets(Rate(0.001, 5), most=100)
    for number in range(5_000):
        buckets.take(f"address-{number}", 100.0 + number / 1_000)
    assert len(buckets) <= 100


def test_no_number_of_addresses_makes_the_hub_forget_who_has_to_wait() -> None:
    buckets = Buckets(Rate(0.001, 5), most=100)
    for _ in range(6):
        buckets.take("guesser", 100.0)
    for number in range(5_000):
        buckets.take(f"address-{number}", 100.0)
    assert buckets.take("guesser", 100.0) > 0


def test_a_device_is_limited_by_itself_and_not_by_its_neighbours() -> None:
    limits = RateLimits(SMALL, Clock(100.0))
    for _ in range(3):
        limits.admit_device("d-1")
    with pytest.raises(TooManyRequests, match="this device asks too often") as busy:
        limits.admit_device("d-1")
    assert busy.value.headers == {"Retry-After": "1"}
    limits.admit_device("d-2")


def test_a_token_that_asks_models_is_limited_by_itself() -> None:
    limits = RateLimits(SMALL, Clock(100.0))
    for _ in range(3):
        limits.admit_caller("t-1")
    with pytest.raises(TooManyRequests, match="this token asks too often"):
        limits.admit_caller("t-1")
    limits.admit_caller("t-2")
    for _ in range(9):
        limits.admit_caller(None)  # the administrator's file


def test_whoever_guesses_is_told_to_wait_and_their_next_guess_is_not_looked_at() -> None:
    clock = Clock(100.0)
    limits, wrong = RateLimits(SMALL, clock), Unauthenticated("wrong")
    assert [limits.after(wrong, "1.2.3.4").status for _ in range(4)] == [401, 401, 429, 429]
    with pytest.raises(TooManyRequests, match="too many wrong tokens"):
        limits.admit_guess("1.2.3.4")
    limits.admit_guess("5.6.7.8")
    clock.now += 10
    limits.admit_guess("1.2.3.4")


def test_guesses_at_one_serial_number_add_up_from_many_addresses() -> None:
    limits, wrong = RateLimits(SMALL, Clock(100.0)), Unauthenticated("wrong")
    for number in range(3):
        limits.after(wrong, f"address-{number}", "SN-1")
    with pytest.raises(TooManyRequests):
        limits.admit_guess("address-9", "SN-1")
    limits.admit_guess("address-9", "SN-2")


def test_a_device_that_is_stopped_or_forgotten_makes_no_guess_of_its_neighbours() -> None:
    limits = RateLimits(SMALL, Clock(100.0))
    for _ in range(9):
        limits.after(IdentityStopped("stopped", "revoked"), "1.2.3.4")
        limits.after(Unauthenticated("who?", "unknown"), "1.2.3.4")
        limits.after(Unauthenticated("expired", guess=False), "1.2.3.4")
    limits.admit_guess("1.2.3.4")


def test_a_rate_of_zero_is_no_limit() -> None:
    limits = RateLimits(RateSettings.unlimited(), Clock(100.0))
    for _ in range(100):
        limits.admit_device("d")
        limits.admit_stranger("a")
        assert limits.after(Unauthenticated("wrong"), "a").status == 401
    limits.admit_guess("a")


def test_a_thousand_devices_behind_one_address_join_and_come_back_after_an_outage() -> None:
    clock = Clock(100.0)
    limits = RateLimits(RateSettings(), clock)
    for _ in range(2):
        for number in range(1_000):  # an enrolment and a credential each, all at once
            limits.admit_stranger("10.0.0.1")
            limits.admit_stranger("10.0.0.1")
            for _ in range(20):
                limits.admit_device(f"d-{number}")
        clock.now += 60
