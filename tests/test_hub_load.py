"""``python -m benchmarks.hub``: a short run loads a real hub and writes its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hub.__main__ import main
from benchmarks.hub.page import WAITING

pytestmark = pytest.mark.slow


def test_a_short_run_measures_a_real_hub_and_says_what_nobody_measured(tmp_path: Path) -> None:
    page = tmp_path / "SCALE.md"
    assert main(["--quick", "--out", str(page)]) == 0
    text = page.read_text()
    for what in ("poll answered 304", "cascade answer", "idle memory", "uvicorn with httptools"):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {what}")][:1]
        assert "not measured" not in line
    assert text.count("not measured yet") == len(WAITING)
