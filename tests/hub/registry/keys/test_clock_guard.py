"""A clock that jumped signs nothing; one that is right goes on by itself, or after one command."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from cloud_hub.errors import Conflict
from cloud_hub.registry.clock_guard import AWAY, ClockNote, jump
from edge_sdk.contract.plan import Plan, ReleaseRef
from tests.hub.registry.keys.old_hub import DAY, OldHub

LAST = ClockNote(1_000 * DAY, "boot", 50 * DAY)
CASES: dict[str, tuple[ClockNote, str | None]] = {
    "an hour later": (ClockNote(LAST.wall + 3_600, "boot", LAST.elapsed + 3_600), None),
    "a month later, machine on": (ClockNote(1_030 * DAY, "boot", 80 * DAY), None),
    "half a day of drift": (ClockNote(1_000.5 * DAY, "boot", 50 * DAY), None),
    "30 days ahead": (ClockNote(1_030 * DAY, "boot", 50 * DAY), "jumped 30 days ahead"),
    "30 days behind": (ClockNote(970 * DAY, "boot", 50 * DAY), "jumped 30 days behind"),
    "off over a weekend": (ClockNote(1_003 * DAY, "other", 5.0), None),
    "off for a year, it seems": (ClockNote(1_365 * DAY, "other", 5.0), "365 days ahead of now"),
    "started with a clock of 1970": (ClockNote(5.0, "other", 5.0), "1000 days behind"),
    "no name of the start": (ClockNote(LAST.wall + AWAY - 1, "", 5.0), None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_clock_is_held_against_what_the_machine_counted(case: str) -> None:
    now, expected = CASES[case]
    found = jump(now, LAST)
    assert (expected is None) == (found is None), found
    if case != "off for a year, it seems":
        assert expected is None or expected in str(found)


@pytest.fixture
def old(tmp_path: Path) -> OldHub:
    return OldHub(tmp_path)


def publish(old: OldHub, serial: int) -> None:
    old.repository.publish_plan(Plan("m", serial, ReleaseRef("1.0", "0" * 64)))


def test_a_minute_of_a_clock_30_days_ahead_signs_nothing(old: OldHub) -> None:
    old.machine.run(60)
    before = {p.name: p.read_bytes() for p in old.repository.files.path.iterdir()}
    old.clock.now += 30 * DAY
    with pytest.raises(Conflict, match="jumped 30 days ahead.*confirm-clock"):
        publish(old, 1)
    with pytest.raises(Conflict, match="nothing is signed"):
        old.repository.renew(datetime.datetime.fromtimestamp(old.clock(), datetime.UTC))
    assert "jumped" in str(old.keys.status().clock)
    assert not old.keys.status().is_well
    old.clock.now -= 30 * DAY - 60
    old.machine.elapsed += 60
    publish(old, 1)  # the clock is right again: no command is needed
    assert set(before) < {p.name for p in old.repository.files.path.iterdir()}
    assert old.keys.status().is_well


def test_a_hub_that_was_off_for_days_goes_on_by_itself(old: OldHub) -> None:
    old.machine.off(6 * DAY)
    publish(old, 1)


def test_a_hub_that_was_off_for_months_goes_on_after_one_command(old: OldHub) -> None:
    old.machine.off(100 * DAY)
    with pytest.raises(Conflict, match="the machine started since"):
        publish(old, 1)
    assert old.keys.confirm_clock().startswith("the clock is taken to be right")
    publish(old, 1)


def test_a_note_that_was_lost_leaves_the_newest_signature_to_compare_with(old: OldHub) -> None:
    (old.repository.files.path.parent / "clock.json").write_text("{")
    old.machine.run(3 * DAY)
    publish(old, 1)
    (old.repository.files.path.parent / "clock.json").unlink()
    old.clock.now += 30 * DAY
    with pytest.raises(Conflict, match="nothing is signed"):
        publish(old, 2)


def test_a_time_that_was_signed_too_early_is_told_with_what_to_do(old: OldHub) -> None:
    old.clock.now += 30 * DAY
    old.keys.confirm_clock()  # somebody insisted
    publish(old, 1)
    old.clock.now -= 30 * DAY
    with pytest.raises(Conflict, match="30 days behind"):
        publish(old, 2)
    assert "edge-hub keys rotate online brings them back" in old.keys.confirm_clock()
    publish(old, 2)
