"""edge-hub db: check says whether the tables are of this version, upgrade brings them there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud_hub.cli.main import main


def test_a_database_is_checked_and_upgraded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "h")
    assert main(["init", data]) == 0
    assert main(["db", "upgrade", data]) == 0
    assert "the newest" in capsys.readouterr().out
    assert main(["db", "check", data, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["current"] == status["head"]
    assert not status["pending"]


def test_a_folder_without_a_hub_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "check", str(tmp_path / "nothing")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
