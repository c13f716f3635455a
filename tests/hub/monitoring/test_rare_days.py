"""Monitoring on a rare day: what is expected, what is new, and what the day leaves behind."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.cli.monitoring import status_text
from cloud_hub.database.documents import as_document
from cloud_hub.hub import Hub
from cloud_hub.monitoring.last_day import rebinned
from cloud_hub.monitoring.rare_days import RareDays
from edge_sdk.contract.profile import FeatureProfile
from tests.hub.telemetry.reporting_fleet import BEGIN, WINDOW, Simulated

MIDNIGHT = BEGIN - BEGIN % 86_400
DATE = datetime.datetime.fromtimestamp(MIDNIGHT, datetime.UTC).date()
POLICY = """
monitoring: {{outputs: false}}
retention: {{report_days: 30}}
calendar: {{days: [{{name: sale, dates: [{dates}]}}]}}
"""
DAY = 86_400 // WINDOW
"""Windows of a day."""

REST = (MIDNIGHT + 86_400 - BEGIN) // WINDOW
"""The first window of the day after that of window 0."""


def fleet(hub: Hub, *days: int) -> Simulated:
    """A fleet with a rare day so many days after that of window 0."""
    dates = ", ".join(f'"{DATE + datetime.timedelta(days=each)}"' for each in days)
    hub.policies.apply("demo", POLICY.format(dates=dates), actor="test")
    return Simulated(hub)


def seen(fleet: Simulated, windows: range, shift: float) -> list[tuple[str, str | None]]:
    raised = []
    for number in windows:
        fleet.window(number, shift=shift)
        alarms = fleet.hub.monitoring.tick(fleet.after(number))
        raised += [(alarm.signal, alarm.expected) for alarm in alarms]
    return raised


def test_the_first_such_day_is_expected_and_what_it_raised_ends_with_it(serving: Hub) -> None:
    devices = fleet(serving, 0)
    assert seen(devices, range(3), 0.8) == [("drift:f1", "sale: the first that was seen")]
    text = status_text(as_document(serving.monitoring.status("demo")))
    assert "expected: sale: the first that was seen" in text
    assert seen(devices, range(REST, REST + 1), 0.0) == []
    assert serving.monitoring.alarms("demo") == []
    (ended,) = serving.monitoring.alarms("demo", open_only=False)
    assert ended.acknowledged_by == "calendar: the day is over"
    # The same drift on an ordinary day is an alarm.
    assert seen(devices, range(REST + 1, REST + 4), 0.8) == [("drift:f1", None)]


def test_the_next_such_day_is_held_against_the_last(serving: Hub) -> None:
    devices = fleet(serving, 0, 7)
    seen(devices, range(3), 0.8)
    assert seen(devices, range(2 * DAY, 2 * DAY + 1), 0.0) == []
    week = 7 * DAY
    alike = seen(devices, range(week, week + 3), 0.8)
    assert alike == [("drift:f1", f"sale: as on the sale of {DATE}")]
    new = seen(devices, range(week + 3, week + 6), 3.0)
    assert ("drift:f1", None) in new
    (alarm,) = [a for a in serving.monitoring.alarms("demo") if a.signal == "drift:f1"]
    assert alarm.evidence["note"] == f"beside the sale of {DATE}"


def test_a_last_day_of_which_too_little_is_known_is_named_and_not_compared(serving: Hub) -> None:
    devices = fleet(serving, 0, 7)
    seen(devices, range(2 * DAY, 2 * DAY + 1), 0.0)
    week = 7 * DAY
    alike = seen(devices, range(week, week + 3), 0.8)
    assert alike == [("drift:f1", f"sale: not compared with the sale of {DATE}")]


def test_a_clock_that_was_ahead_does_not_put_monitoring_off(serving: Hub) -> None:
    devices = fleet(serving, 0)
    devices.window(0, shift=0.0)
    serving.monitoring.tick(devices.after(0) + 365 * 86_400)
    for number in range(1, 4):
        devices.window(number, shift=0.8)
        serving.monitoring.tick(devices.after(number))
    assert serving.monitoring.status("demo").watched_to == BEGIN + 4 * WINDOW


def test_windows_of_a_rare_day_are_no_past_of_ordinary_ones() -> None:
    days = RareDays((Occurrence(100, 200, "sale", "x"),))
    windows = [(220, 240), (190, 205), (100, 120), (50, 60)]
    assert days.comparable(windows, 300, 310) == [(220, 240), (50, 60)]
    assert days.comparable(windows, 150, 160) == windows
    assert days.ordinary([(150.0, "a"), (250.0, "b")], 300, 310) == [(250.0, "b")]


def numbers(*edges: float) -> FeatureProfile:
    return FeatureProfile("x", (0,) * (max(1, len(edges) - 1) + 2), edges=edges)


REBINNED = {
    "finer": ((0, 2, 4), (0, 1, 2, 3, 4), [4, 8, 1, 2], [2, 2, 4, 4, 1, 2]),
    "wider": ((0, 2, 4), (-1, 4, 9), [4, 8, 1, 2], [12, 0, 1, 2]),
    "narrower": ((0, 2, 4), (1, 3), [4, 8, 1, 2], [6, 1, 8]),
    "a constant into bins": ((2,), (0, 2, 4), [5, 1, 2], [0, 5, 1, 2]),
    "a constant out of range": ((9,), (0, 2, 4), [5, 1, 2], [0, 0, 1, 7]),
    "into a constant": ((0, 4), (2,), [5, 1, 2], [0, 1, 7]),
    "the same constant": ((2,), (2,), [5, 1, 2], [5, 1, 2]),
}


@pytest.mark.parametrize("case", REBINNED)
def test_counts_of_another_version_in_the_bins_of_this_one(case: str) -> None:
    then, now, before, after = REBINNED[case]
    found = rebinned(np.array(before), numbers(*then), numbers(*now))
    assert found.tolist() == after
    assert found.sum() == sum(before)


def test_categories_keep_their_names_and_new_kinds_of_columns_are_not_compared() -> None:
    then = FeatureProfile("x", (0, 0, 0, 0), categories=("a", "b"))
    now = FeatureProfile("x", (0, 0, 0, 0), categories=("b", "c"))
    assert rebinned(np.array([3, 4, 1, 2]), then, now).tolist() == [4, 0, 1, 5]
    assert rebinned(np.array([3, 4, 1, 2]), then, replace(numbers(0, 1, 2))).tolist() == [0] * 4
