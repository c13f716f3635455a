"""``edge-hub data`` against a hub process: every format in, every format out, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cloud_hub.cli.main import main
from cloud_hub.data.dataset import Dataset
from tests.edge.builders import make_release
from tests.servers import HubProcess

FRAME = pd.DataFrame(
    {
        "age": np.arange(100) + 0.5,
        "city": ["Bern", "Basel"] * 50,
        "at": pd.date_range("2026-01-01", periods=100, freq="h"),
        "risk": [0, 0, 1, 1] * 25,
    }
)


def edge_hub(
    hub: HubProcess, capsys: pytest.CaptureFixture[str], *words: str, status: int = 0
) -> str:
    assert main([*words, "--data", str(hub.data)]) == status
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_rows_go_in_in_any_format_and_come_back(
    hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    FRAME.to_parquet(tmp_path / "rows.parquet")
    roles = ("--label", "risk", "--time", "at")
    said = edge_hub(
        hub, capsys, "data", "add", "typed", "train", str(tmp_path / "rows.csv"), *roles
    )
    assert "typed: 100 rows for train@1" in said
    assert "no such model" in said  # a typo would make one
    again = str(tmp_path / "rows.parquet")
    assert "train@1" in edge_hub(hub, capsys, "data", "add", "typed", "train", again, *roles)
    np.savez(tmp_path / "rows.npz", X=np.ones((5, 2)), y=np.arange(5))
    edge_hub(hub, capsys, "data", "add", "typed", "other", str(tmp_path / "rows.npz"))
    listed = json.loads(edge_hub(hub, capsys, "data", "list", "typed", "--json"))
    assert [(r["name"], r["number"], r["source"]) for r in listed] == [
        ("train", 1, "rows.csv"), ("other", 1, "rows.npz"),
    ]  # fmt: skip
    shown = edge_hub(hub, capsys, "data", "show", "typed", "train")
    assert "train@1, 100 rows, from 2026-01-01" in shown
    assert "Basel" in shown
    for suffix in ("csv", "parquet"):
        to = tmp_path / f"back.{suffix}"
        edge_hub(hub, capsys, "data", "export", "typed", "train@1", str(to))
        back = Dataset.read(to, label="risk", time="at")
        assert back.fingerprint() == listed[0]["fingerprint"]
    to = str(tmp_path / "back.npz")
    assert "'city' has none" in edge_hub(
        hub, capsys, "data", "export", "typed", "train", to, status=1
    )
    assert "ends in .parquet, .csv, .npz" in edge_hub(
        hub, capsys, "data", "export", "typed", "train", "x.doc", status=1
    )


def test_versions_are_compared_tagged_and_validated(
    hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def add(frame: pd.DataFrame) -> None:
        frame.to_csv(tmp_path / "rows.csv", index=False)
        rows = str(tmp_path / "rows.csv")
        edge_hub(hub, capsys, "data", "add", "judged", "train", rows, "--label", "risk")

    add(FRAME)
    add(FRAME.assign(leak=FRAME["risk"] * 10, age=FRAME["age"] * 1_000))
    assert "leak" in edge_hub(hub, capsys, "data", "diff", "judged", "train@1", "train@2")
    said = edge_hub(hub, capsys, "data", "tag", "judged", "train@1", "clean")
    assert "train@1 is train@clean" in said
    assert "same content" in edge_hub(
        hub, capsys, "data", "diff", "judged", "train@1", "train@clean"
    )
    said = edge_hub(hub, capsys, "data", "validate", "judged", "train@2", status=1)
    assert "fails: label_leak: leak: is the label itself in 100.00% of the rows" in said
    assert "fails: range: age: expected" in said
    assert "not made: fleet" in said
    assert "0 failed" in edge_hub(hub, capsys, "data", "validate", "judged", "train@clean")
    said = edge_hub(hub, capsys, "data", "show", "judged", "train@7", status=1)
    assert "there are train@1, train@2" in said


def test_a_version_that_was_trained_elsewhere_names_its_data_too(
    hub: HubProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "rows.npz", X=np.ones((5, 4)), y=np.arange(5))
    edge_hub(hub, capsys, "data", "add", "elsewhere", "train", str(tmp_path / "rows.npz"))
    release = str(make_release(tmp_path, "elsewhere").folder)
    said = edge_hub(hub, capsys, "publish", release, "--trained-on", "train@2", status=1)
    assert "no dataset train@2; there are train@1" in said
    (model,) = [m for m in hub.admin.get("models") if m["model"] == "elsewhere"]
    assert model["versions"] == []
    edge_hub(hub, capsys, "publish", release, "--trained-on", "train")
    assert hub.admin.get("models/elsewhere/versions/1.0/datasets") == {"trained": ["train@1"]}
    shown = edge_hub(hub, capsys, "releases", "show", "elsewhere", "1.0")
    assert "trained on train@1\n" in shown
    shown = edge_hub(hub, capsys, "data", "show", "elsewhere", "train")
    assert "versions of the model: 1.0 (trained)" in shown


REFUSED: dict[str, tuple[str, Any]] = {
    "data add M train missing.csv": ("missing.csv: cannot be read", None),
    "data add M train rows.csv --label z": ("there is no column 'z'", None),
    "data add M holdout rows.csv": ("expected labels in rows of the kind holdout", None),
    "data list nobody": ("nobody: no such model", None),
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_cannot_be_done_is_one_line(
    hub: HubProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.chdir(tmp_path)
    said = edge_hub(hub, capsys, *command.replace(" M ", " refused ").split(), status=1)
    assert REFUSED[command][0] in said
    assert said.count("\n") == 1
