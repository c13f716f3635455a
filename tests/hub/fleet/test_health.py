"""How a device is: by its own interval, and not by one that fits nobody."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.fleet.health import Health, health, late_after, lost_after
from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub
from edge_sdk.contract.fleet import CheckIn, ReportedState
from tests.simulated_device import enrolled

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0

# silent for, of a device that comes each, on plan 3 of 3 unless it says otherwise
CASES: dict[str, tuple[float, float | None, int, bool, Health]] = {
    "of a minute's interval and heard of now": (0, MINUTE, 3, False, "healthy"),
    "on an older plan": (0, MINUTE, 2, False, "pending"),
    "what serves failed on it": (0, MINUTE, 3, True, "failed"),
    "dead for five minutes": (5 * MINUTE, MINUTE, 3, False, "late"),
    "dead for five minutes, and before that on an older plan": (300, MINUTE, 2, False, "late"),
    "failed, and dead for five minutes": (5 * MINUTE, MINUTE, 3, True, "failed"),
    "dead for an hour": (HOUR, MINUTE, 3, False, "lost"),
    "failed, and dead for an hour": (HOUR, MINUTE, 3, True, "lost"),
    "away for a hub's restart and a whole back-off": (900, MINUTE, 3, False, "late"),
    "of half a day's interval and heard of this morning": (10 * HOUR, DAY / 2, 3, False, "healthy"),
    "of half a day's interval, two days ago": (2 * DAY, DAY / 2, 3, False, "late"),
    "of half a day's interval, a week ago": (7 * DAY, DAY / 2, 3, False, "lost"),
    "older software, an hour ago": (HOUR, None, 3, False, "healthy"),
    "older software, three hours ago": (3 * HOUR, None, 3, False, "late"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_device_is_missed_by_its_own_interval(case: str) -> None:
    silent, interval, plan, failed, expected = CASES[case]
    found = health(serial=3, plan=plan, failed=failed, seen_at=0, now=silent, interval=interval)
    assert found == expected


@given(st.floats(0.1, 31 * DAY), st.floats(0, 1.2))
def test_whoever_keeps_to_the_jittered_interval_is_never_late_and_nobody_is_lost_before_late(
    interval: float, share: float
) -> None:
    silent = share * interval
    assert health(serial=1, plan=1, failed=False, seen_at=0, now=silent, interval=interval) == (
        "healthy"
    )
    assert late_after(interval) < lost_after(interval)


def test_a_dead_device_of_a_minute_s_interval_is_not_called_healthy_for_two_hours(
    serving: Hub,
) -> None:
    name = enrolled(serving, serving.fleet.new_token("demo", uses=1, seconds=60, actor="test"))
    said = CheckIn({"demo": ReportedState("1.0", 1)}, interval=60.0)
    serving.fleet.check_in(EnrolledDevice(name, ("demo",)), said)
    with serving.engine.begin() as db:
        db.execute(update(devices).values(seen_at=time.time() - 600))
    (record,) = serving.fleet.devices("demo")
    assert record.interval == 60.0
    found = health(
        serial=1, plan=record.plan, failed=False, seen_at=record.seen_at, now=time.time(),
        interval=record.interval,
    )  # fmt: skip
    assert found == "late"
