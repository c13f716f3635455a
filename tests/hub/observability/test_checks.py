"""What of a hub fails, what needs somebody soon, and that the log says so once."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from cloud_hub.fleet.health import health
from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub
from cloud_hub.observability.checks import (
    HealthCheck,
    State,
    judge_clock,
    judge_disk,
    judge_handles,
    judge_loop,
    open_handles,
)
from cloud_hub.observability.figures import contacts_query
from tests.hub.experiments.fleets import fleet

GIB = float(2**30)
CHECKS = {"database", "artifacts", "loop", "keys", "clock", "disk", "engine", "handles"}

DISKS: dict[str, tuple[float, float, State]] = {
    "half full": (50 * GIB, 100 * GIB, "ok"),
    "a large one with a hundredth left": (100 * GIB, 10_000 * GIB, "ok"),
    "a small one with a tenth left": (3 * GIB, 31 * GIB, "warn"),
    "a card with little left": (0.5 * GIB, 16 * GIB, "warn"),
    "nearly nothing left": (0.1 * GIB, 100 * GIB, "fail"),
    "nothing left": (0.0, 100 * GIB, "fail"),
}


@pytest.mark.parametrize("case", DISKS)
def test_a_disk_is_low_before_it_is_full(case: str) -> None:
    free, size, expected = DISKS[case]
    check = judge_disk(free, size)
    assert (check.state, bool(check.todo)) == (expected, expected != "ok")


def test_a_disk_is_low_from_the_share_that_the_settings_say() -> None:
    assert judge_disk(3 * GIB, 31 * GIB, 0.05).state == "ok"
    assert judge_disk(3 * GIB, 31 * GIB, 0.5).state == "warn"
    assert judge_disk(6 * GIB, 7 * GIB, 1.0).state == "ok"  # room enough, whatever the share


def test_a_process_that_is_nearly_out_of_connections_warns() -> None:
    assert judge_handles(12, 1_024).state == "ok"
    crowded = judge_handles(16_000, 20_000)
    assert (crowded.state, "16,000 of 20,000" in crowded.says) == ("warn", True)
    used, most = open_handles()
    assert 0 < used < most


LOOPS: dict[str, tuple[float, bool, float, dict[str, str], State]] = {
    "it runs": (1.0, True, 0.5, {}, "ok"),
    "it is off here": (0.0, False, 1e9, {}, "ok"),
    "another worker's": (1.0, False, 1e9, {}, "ok"),
    "a gate takes minutes": (1.0, True, 400.0, {}, "ok"),
    "a part fails": (1.0, True, 0.5, {"packs": "OSError()"}, "warn"),
    "it hangs": (1.0, True, 901.0, {}, "fail"),
    "a slow one does not hang": (600.0, True, 901.0, {}, "ok"),
}


@pytest.mark.parametrize("case", LOOPS)
def test_a_loop_that_hangs_fails_and_a_part_of_it_warns(case: str) -> None:
    seconds, leads, since, errors, expected = LOOPS[case]
    assert judge_loop(seconds, leads=leads, since_tick=since, errors=errors).state == expected


def test_a_clock_that_jumped_fails() -> None:
    assert judge_clock(None).state == "ok"
    assert "nothing is signed" in judge_clock("it jumped 40 days ahead of").says


def test_a_clock_that_is_off_the_databases_is_told_and_far_off_takes_no_requests() -> None:
    states = [judge_clock(None, off).state for off in (1.0, -20.0, 20.0, 3_600.0, -3_600.0)]
    assert states == ["ok", "warn", "warn", "fail", "fail"]
    assert "-3600 s off the database's" in judge_clock(None, -3_600.0).says


def states(hub: Hub) -> dict[str, State]:
    return {check.name: check.state for check in hub.readiness.checks()}


def test_a_hub_in_order_passes_every_check(inner: Hub) -> None:
    found = states(inner)
    assert set(found) == {
        "database",
        "artifacts",
        "loop",
        "keys",
        "clock",
        "disk",
        "engine",
        "handles",
    }
    assert {name for name, state in found.items() if state == "fail"} == set()


def test_a_store_that_cannot_be_written_fails_and_the_others_are_still_told(inner: Hub) -> None:
    blobs = inner.settings.data / "blobs"
    shutil.rmtree(blobs, ignore_errors=True)
    blobs.write_text("in the way")
    found = states(inner)
    assert (found["artifacts"], found["database"]) == ("fail", "ok")


def test_the_log_says_once_what_got_worse_and_once_that_it_is_well(
    inner: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    found = HealthCheck("disk", "fail", "0.0 of 9.0 GiB are free", "make room")
    with caplog.at_level(logging.INFO, "cloud_hub.observability"):
        for state in (found, found, HealthCheck("disk", "ok", "5.0 of 9.0 GiB are free")):
            inner.readiness._kept = {"disk": (float("inf"), state)}
            inner.readiness._all = dict  # type: ignore[method-assign]
            inner.readiness.tick(0.0)
    assert caplog.messages == [
        "disk: 0.0 of 9.0 GiB are free; make room",
        "disk: is well again; 5.0 of 9.0 GiB are free",
    ]


@given(st.one_of(st.none(), st.floats(1.0, 1e5)), st.floats(0.0, 1e6).map(lambda s: round(s) + 0.5))
def test_metrics_count_a_device_as_the_list_of_devices_calls_it(
    interval: float | None, silent: float
) -> None:
    """The rule in SQL is that in Python; see below for the database's own word."""
    from sqlalchemy import create_engine

    from cloud_hub.database.engine import metadata

    engine = create_engine("sqlite://")
    metadata.create_all(engine, tables=[devices, metadata.tables["identities"]])
    with engine.begin() as db:
        db.execute(
            metadata.tables["identities"].insert().values(
                device="d", standing="active", changed_at=0, enrolled_by="", vouched_by="",
                attributes={}, generation=0,
            )
        )  # fmt: skip
        db.execute(
            devices.insert().values(
                device="d", model="m", enrolled_at=0, seen_at=0, attributes={}, failed=[],
                software={}, interval=interval,
            )
        )  # fmt: skip
        ((_, contact, count),) = db.execute(contacts_query(silent)).all()
    engine.dispose()
    said = health(serial=1, plan=1, failed=False, seen_at=0, now=silent, interval=interval)
    assert (contact, count) == ({"healthy": "heard"}.get(said, said), 1)


def test_devices_are_counted_by_model_and_contact(serving: Hub) -> None:
    members = fleet(serving, 3)
    now = time.time()
    with serving.engine.begin() as db:
        mine = devices.c.device == members[0].name
        db.execute(update(devices).where(mine).values(seen_at=now - 600, interval=60.0))
        found = {contact: count for _, contact, count in db.execute(contacts_query(now))}
    assert found == {"late": 1, "heard": 2}


def test_old_hubs_without_a_token_of_metrics_let_nobody_read_them(tmp_path: Path) -> None:
    from cloud_hub.api.token_files import METRICS_FILE, is_token

    assert not is_token(tmp_path / METRICS_FILE, "")
