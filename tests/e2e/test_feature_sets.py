"""Sets of features on a real hub: declared, imported, joined and served by the command line."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pandas as pd
import pytest

from cloud_hub.cli.main import main as edge_hub
from edge_sdk import EdgeDevice
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.servers import HubProcess
from tests.waiting import PATIENCE

TEXT = """
name: user_orders
entity: user_id
owner: shop@example.com
freshness: 1h
models: [sets]
features:
  - {name: f0, dtype: float32, default: -1, description: orders}
  - {name: f2, dtype: float32, default: 0.25}
"""


def test_rows_come_in_are_joined_and_answered_on_a_device(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: object) -> int:
        return edge_hub([*map(str, words), "--data", str(hub.data)])

    publish("sets")
    now = time.time()
    declared, history, labels, out = (
        tmp_path / n for n in ("s.yaml", "h.csv", "l.csv", "o.parquet")
    )
    declared.write_text(TEXT)
    lines = (f"a,{now - 7_200},1,2", f"a,{now - 60},3,4", f"old,{now - 7_200},5,6")
    history.write_text("\n".join(("user_id,event_timestamp,f0,f2", *lines)))
    labels.write_text(f"user_id,time,y\na,{now - 3_600},0\na,{now},1\nb,{now},0\n")
    assert run("features", "apply", declared) == 0
    assert run("features", "import", "user_orders", history) == 0
    assert run("features", "join", labels, "--as-of", "time", "--ages", "--out", out) == 0
    joined = pd.read_parquet(out)
    assert joined["f0"].tolist() == [1.0, 3.0, -1.0]
    assert joined["user_orders@age"].round().tolist()[:2] == [3_600.0, 60.0]
    with EdgeDevice(
        tmp_path / "d", hub=hub.url, token=hub.token("sets"), model="sets", config=PATIENT,
        background=False,
    ) as device:  # fmt: skip
        assert_answers_with_the_newest_row(device)
    capsys.readouterr()
    assert run("features", "show", "user_orders", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(use["model"], use["kind"]) for use in shown["uses"]] == [("sets", "served")]
    assert run("features", "skew", "sets", "--json") == 0
    skewed = json.loads(capsys.readouterr().out)["features"]
    assert [(each["compared"], each["different"]) for each in skewed] == [(2, 0), (2, 0)]
    assert run("features", "export", "user_orders", "--out", out) == 0
    assert run("features", "import", "user_orders", out) == 0
    assert "the same rows were there already" in capsys.readouterr().out
    for words in (("list",), ("status", "sets"), ("show", "user_orders")):
        assert run("features", *words) == 0
    assert run("features", "put", "sets", history, "--default", "f0=0") == 1
    assert run("features", "show", "user_order") == 1
    assert "did you mean" in capsys.readouterr().err
    assert [path.name for path in hub.data.iterdir() if path.name.startswith("tmp")] == []


def assert_answers_with_the_newest_row(device: EdgeDevice) -> None:
    answer = device.predict({"f1": 7.0, "f3": 8.0}, entity="a")
    assert (answer.probabilities == device.predict([3.0, 7.0, 4.0, 8.0]).probabilities).all()
    stored = device.stored_features("a")
    assert (stored.row, stored.stale) == ({"f0": 3.0, "f2": 4.0}, False)
    old = device.stored_features("old")
    assert (old.row, old.stale, old.is_stored) == ({"f0": 5.0, "f2": 6.0}, True, True)
    assert old.age is not None
    assert 7_200 <= old.age < 7_200 + PATIENCE
    assert device.predict({"f1": 7.0, "f3": 8.0}, entity="old").label is not None
    unknown = device.stored_features("nobody")
    assert (unknown.row, unknown.age) == ({"f0": -1.0, "f2": 0.25}, None)
