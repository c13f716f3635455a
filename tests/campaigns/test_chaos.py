"""A few updates through a bad network, and what the judge would not let pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaigns.chaos import DNS, RESTART, TLS, Course, run

SHORT = ("cut at random bytes", "captive portal", TLS, DNS, RESTART)
GOOD = Course("cut", True, True, 2, 1.0, 1_040, 0.04)


def test_updates_complete_after_the_network_has_healed(tmp_path: Path) -> None:
    courses = run(tmp_path, SHORT, 1_500_000, 50_000)
    assert [said for course in courses for said in course.wrong()] == []
    assert len(courses) == len(SHORT) + 1


@pytest.mark.parametrize(
    ("course", "message"),
    [
        (replace(GOOD, completed=False), "cut: expected the new release in"),
        (replace(GOOD, served=False), "cut: expected the old release to go on serving"),
        (replace(GOOD, again=0.051), "cut: 5.1% of the bytes came again"),
    ],
)
def test_an_update_that_went_wrong_is_found(course: Course, message: str) -> None:
    assert GOOD.wrong() == []
    (said,) = course.wrong()
    assert said.startswith(message)
