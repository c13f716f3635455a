"""``python -m benchmarks.hub``: a short run loads a real hub, writes its page, keeps its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hub.__main__ import main
from benchmarks.hub.groups import GROUPS
from tests.postgres import installed_programs

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


@pytest.mark.postgres
def test_what_is_asked_pushed_and_stormed_is_measured_on_postgresql_too(tmp_path: Path) -> None:
    if installed_programs() is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    page, kept = tmp_path / "SCALE.md", tmp_path / "results.json"
    where = ["--quick", "--out", str(page), "--results", str(kept)]
    assert main([*where, "--rows", "postgres"]) == 0
    found = [line for line in page.read_text().splitlines() if ", PostgreSQL | " in line]
    measured = " ".join(line for line in found if "measured yet" not in line)
    for words in ("poll answered 304", "cascade answer", "plan received", "devices come back"):
        assert words in measured
