"""The campaign of ``make statistics``, shortened: every part runs, and no claim is far off."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.statistics.__main__ import PARTS, main
from benchmarks.statistics.part import QUICK, wilson


@pytest.mark.parametrize("name", [name for name in PARTS if name in (
    "false-winners", "power", "energy", "canaries", "allocation", "keys", "interleaving",
    "assignment",
)])  # fmt: skip
def test_a_part_meets_its_goals_as_far_as_few_runs_can_tell(name: str) -> None:
    """A rate of few runs misses its goal only if the goal is outside of its interval."""
    rows = PARTS[name].run(QUICK)
    assert rows
    for row in rows:
        if row.met is False:
            assert "runs)" in row.result, row
            bounds = [float(part.rstrip("%")) for part in _interval(row.result)]
            goal = float(row.goal.strip("≤≥ %")) * (1 if "%" in row.goal else 100)
            assert bounds[0] <= goal <= bounds[1], row


def _interval(found: str) -> tuple[str, str]:
    low, _, high = found[found.index("(") + 1 : found.rindex(",")].partition(" to ")
    return low, high


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(5, 100) == pytest.approx((0.0215, 0.1118), abs=1e-3)
    assert wilson(0, 10)[0] == 0


def test_the_campaign_writes_its_table(tmp_path: Path) -> None:
    assert main(["--quick", "--only", "assignment", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "STATISTICS.md").read_text()
    assert "3 of 3 goals are met" in text
    assert "| golden vectors | 5 | 5 | met |" in text
