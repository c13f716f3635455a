"""When a worker may lead, by the clocks that there are."""

from __future__ import annotations

import pytest

from cloud_hub.database import lease
from cloud_hub.processes.restarts import (
    LONGEST_SECONDS,
    STEADY_SECONDS,
    deaths_in_a_row,
    restart_delay,
)

LEASE = lease.LEASE_SECONDS


def test_a_leader_stops_before_anybody_may_take_over() -> None:
    ages = [age / 100 for age in range(int(200 * LEASE))]
    assert not any(lease.still_leads(age) and lease.has_expired(age) for age in ages)
    # And there is time to renew it more than once after one renewal was late.
    assert lease.still_leads(2 * LEASE / lease.RENEWALS)


SKEWS = {
    "the clocks agree": (100.0, 100.5, 101.0, 0.0),
    "as far as the connection lets one tell": (100.0, 100.0, 109.0, 0.0),
    "ahead of the database": (100.0, 60.0, 101.0, 40.0),
    "behind the database": (100.0, 160.0, 101.0, -59.0),
}


@pytest.mark.parametrize("case", SKEWS)
def test_a_clock_is_compared_with_the_databases(case: str) -> None:
    before, there, after, expected = SKEWS[case]
    assert lease.skew(before, there, after) == expected


def test_a_worker_whose_clock_is_off_leads_only_if_nobody_else_does() -> None:
    off = lease.MOST_SKEW_SECONDS + 1
    assert lease.may_try(0.0, 0.0)
    assert lease.may_try(0.0, lease.MOST_SKEW_SECONDS)
    assert not lease.may_try(LEASE, off)
    assert not lease.may_try(LEASE, -off)
    assert lease.may_try(2 * LEASE + 1, off)


def test_the_first_end_of_a_worker_is_followed_at_once_and_many_more_slowly() -> None:
    assert [restart_delay(deaths) for deaths in range(1, 5)] == [0.0, 0.5, 1.0, 2.0]
    assert restart_delay(10_000) == LONGEST_SECONDS


def test_a_worker_that_lived_long_begins_a_new_row() -> None:
    assert deaths_in_a_row(7, lived=1.0) == 8
    assert deaths_in_a_row(7, lived=STEADY_SECONDS) == 1
