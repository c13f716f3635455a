"""A few kills, and what the count would not let pass."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.campaigns.harness.reporters import Count
from tests.campaigns.hub_kills import Tally, told
from tests.waiting import PATIENCE


def test_a_hub_that_is_killed_loses_doubles_and_half_publishes_nothing() -> None:
    command = [sys.executable, "-m", "tests.campaigns.hub_kills", "--kills", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills" in done.stdout
    assert ": 0 lost, 0 doubled\n" in done.stdout
    assert done.stdout.endswith("0 broken\n")


@pytest.mark.parametrize(
    ("made", "counted", "lost", "doubled"), [(10, 10, 0, 0), (10, 7, 3, 0), (10, 15, 0, 5)]
)
def test_lost_and_doubled_predictions_are_told_apart(
    made: int, counted: int, lost: int, doubled: int
) -> None:
    count = Count(made, counted)
    assert (count.lost, count.doubled) == (lost, doubled)


def test_the_figures_are_told() -> None:
    tally = Tally(predictions=9, lost=1, broken=["kill 1, publish: half"])
    assert "9 predictions reported: 1 lost, 0 doubled" in told(tally, 1.0)
