"""What the hub's loop does about keys by itself, and whom it tells."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cloud_hub.database.leader import FileLeadership
from cloud_hub.hub import Hub
from cloud_hub.loop import Loop
from cloud_hub.registry.keys.changes import KeyChange
from cloud_hub.registry.keys.service import Keys
from cloud_hub.registry.keys.watch import KeyWatch
from tests.clock import Clock
from tests.hub.registry.keys.old_hub import DAY, age


def test_the_log_says_once_a_day_what_needs_its_owner_from_90_days_before(
    inner: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    (inner.settings.data / "keys" / "offline.pem").unlink()
    clock = Clock()
    machine = age(inner.repository, clock)
    watch = KeyWatch(inner.repository, Keys(inner.repository), inner.audit, lambda: None)
    said: list[tuple[int, str]] = []
    for day in [100, 200, 270, *range(271, 282), *range(332, 338), *range(355, 368)]:
        machine.run(day * DAY - machine.elapsed + 1_000)
        for _ in range(3):
            machine.run(DAY / 4)
            caplog.clear()
            with caplog.at_level(logging.INFO):
                watch.tick(clock())
            said += [(day, r.levelname) for r in caplog.records if "keys: root" in r.message]
    days = [day for day, _ in said]
    assert set(days) == {*range(275, 282), *range(332, 338), *range(355, 368)}
    # Once a day, and at once where it grows more urgent: 90, 30, 7 days before, and the end.
    assert len(days) <= len(set(days)) + 4
    assert {level for day, level in said if day < 357} == {"WARNING"}
    assert {level for day, level in said if day > 359} == {"ERROR"}


def test_new_keys_are_noted_in_the_audit_once_whoever_put_them_in_force(inner: Hub) -> None:
    other = Keys(inner.repository)  # edge-hub keys, in a process of its own
    other.rotate({"online": KeyChange()}, 365)
    now = inner.repository.clock()
    for i in range(3):
        inner.loop.tick(now + 61 * i)
    noted = [entry for entry in inner.audit.entries() if entry.action == "keys"]
    assert len(noted) == 1
    assert noted[0].detail["versions"] == {"root": 2, "targets": 2}
    assert inner.loop.errors == {}
    assert noted[0].detail["keys"]["timestamp"] == list(other.status().roles[-1].keys)


def test_after_a_pause_nothing_in_the_loop_comes_before_the_timestamp(
    inner: Hub, tmp_path: Path
) -> None:
    """What comes later may take minutes, and devices believe nothing meanwhile."""
    clock = Clock()
    age(inner.repository, clock).off(2 * DAY)

    def days_left(now: float) -> None:
        left.append({r.role: r.days_left for r in inner.keys.status().roles}["timestamp"])

    left: list[float] = []
    known = inner.loop.parts.items()
    parts = {name: part if name == "renewal" else days_left for name, part in known}
    days_left(clock())
    Loop(parts, 0, FileLeadership(tmp_path / "lock")).tick(clock())
    assert left[0] < 0
    assert set(left[1:]) == {1.0}
