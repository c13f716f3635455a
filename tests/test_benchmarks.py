"""``make bench`` in short: it measures, and writes a table that can be read."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.table import Line, markdown


def test_a_short_run_fills_every_line_of_the_table(tmp_path: Path) -> None:
    out = tmp_path / "RESULTS.md"
    options = ["--seconds", "0.1", "--models", "logistic-regression", "--entries", "3000"]
    subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--out", out],
        check=True,
        capture_output=True,
        timeout=300,
    )
    lines = [
        line for line in out.read_text().splitlines() if re.search(r"\| (yes|\*\*no\*\*) \|", line)
    ]
    assert len(lines) == 14
    for what in ("one row", "batch of 100,000", "telemetry", "eight threads", "import", "open"):
        assert any(what in line for line in lines)


def test_a_goal_is_met_up_to_its_limit_and_not_beyond() -> None:
    most = [Line("w", "m", "a", value, 1.0) for value in (0.9, 1.0, 1.1)]
    least = [Line("w", "m", "a", value, 1.0, least=True) for value in (0.9, 1.0, 1.1)]
    assert [line.met for line in most] == [True, True, False]
    assert [line.met for line in least] == [False, True, True]
    assert markdown(most).splitlines()[-1] == "| w | m | a | 1.10× | ≤ 1× | **no** |"
