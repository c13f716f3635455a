"""``python -m benchmarks.hub``: a short run loads a real hub, writes its page, keeps its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hub.__main__ import main
from benchmarks.hub.groups import GROUPS

pytestmark = pytest.mark.slow


def test_a_row_is_measured_on_a_real_hub_kept_and_the_others_are_said_to_be_missing(
    tmp_path: Path,
) -> None:
    page, kept = tmp_path / "SCALE.md", tmp_path / "results.json"
    where = ["--quick", "--out", str(page), "--results", str(kept)]
    assert main([*where, "--rows", "poll"]) == 0
    text = page.read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("| poll answered 304, ")]
    assert "not measured" not in line
    assert text.count("not measured yet") == len(GROUPS) - 2  # web servers have their own table
    # A row that cannot be measured here (MLflow is not there) is told, and what was measured stays.
    assert main([*where, "--rows", "alias"]) == 1
    assert page.read_text() == text
