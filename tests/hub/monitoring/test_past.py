"""Which earlier windows tell how much windows vary by themselves."""

from __future__ import annotations

import pytest

from cloud_hub.monitoring.past import DAY, MOST, REPORTS, chosen

AT = 100 * DAY


def spans(length: int, count: int) -> list[tuple[int, int]]:
    """Windows before ``AT``, newest first."""
    return [(AT - (i + 1) * length, AT - i * length) for i in range(count)]


CASES = {
    "too few": (60, 9, 0, 0),
    "minutes, a young version": (60, 10, 8, 600),
    "minutes, some hours": (60, 600, MOST, 1_560),
    "minutes, days": (60, 4_000, MOST, DAY),
    "hours, half a day": (3_600, 12, 0, 0),
    "hours, a day and more": (3_600, 40, 22, DAY),
    "windows of six hours": (21_600, 12, 8, 10 * 21_600),
}


@pytest.mark.parametrize("case", CASES)
def test_a_past_is_the_last_hours_or_a_whole_day(case: str) -> None:
    length, count, expected, back = CASES[case]
    found = chosen(spans(length, count), AT, in_a_row=2, devices=10)
    assert len(found) == expected
    if found:
        assert found[0] == (AT - 3 * length, AT - 2 * length)  # two may be the change itself
        assert back - 2 * 3_600 <= AT - found[-1][0] <= back


def test_large_fleets_look_at_fewer_windows_and_the_largest_at_none() -> None:
    many = spans(60, 100)
    assert len(chosen(many, AT, in_a_row=2, devices=REPORTS // 10)) == 10
    assert chosen(many, AT, in_a_row=2, devices=REPORTS) == []
    assert chosen([], AT, in_a_row=2, devices=0) == []
