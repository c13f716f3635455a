"""``edge-hub backup``, ``restore`` and ``move`` as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud_hub.cli.main import main
from cloud_hub.hub import Hub, initialise
from cloud_hub.settings import Settings


def test_a_hub_is_saved_restored_and_moved_by_three_commands(
    serving: Hub,
    database: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--database", database] if database is not None else []
    data, (backup, again, moved) = serving.settings.data, (tmp_path / n for n in "bam")
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    assert main(["backup", f"{data}", f"{backup}", *where, "--with-keys", "--json"]) == 0
    printed = capsys.readouterr()
    assert "not locked: whoever reads the backup is the hub" in printed.err
    made = json.loads(printed.out)
    assert (made["secrets"], made["missing"]) == ("plain", [])
    assert main(["restore", f"{backup}", f"{again}", "--expect", "0" * 64]) == 1
    assert "this is another one" in capsys.readouterr().err
    assert main(["restore", f"{backup}", f"{again}", "--expect", made["sha256"]]) == 0
    told = capsys.readouterr().out
    assert f"{made['rows']:,} rows of {made['tables']} tables" in told
    assert "what came later is lost: reports, devices, revocations, releases" in told
    assert main(["move", f"{again}", f"{moved}"]) == 0
    assert f"{again} was not changed, and refuses to be served" in capsys.readouterr().out
    assert main(["keys", "status", f"{again}"]) == 1
    assert "was moved to" in capsys.readouterr().err
    assert main(["keys", "status", f"{moved}"]) == 0
    locked = ["--with-keys", "--passphrase-file", f"{secret}"]
    assert main(["backup", f"{moved}", f"{tmp_path / 'locked'}", *locked]) == 0
    assert "with keys, locked" in capsys.readouterr().out


def test_a_hub_that_was_never_served_has_nothing_to_save(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    initialise(Settings(tmp_path / "hub"))
    assert main(["backup", f"{tmp_path / 'hub'}", f"{tmp_path / 'out'}"]) == 1
    assert "was never served" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
