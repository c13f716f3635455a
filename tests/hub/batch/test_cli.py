"""``edge-hub batch`` and ``predictions`` against a real hub."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cloud_hub.cli.data.batch import past_moments
from cloud_hub.cli.main import main
from edge_sdk.cli.main import main as edge
from tests.conftest import Publish
from tests.edge.builders import rows, softmax
from tests.hub.batch.shop import job, user_database, users
from tests.servers import HubProcess


def say(hub: HubProcess, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main([*words, "--data", str(hub.data)])
    said = capsys.readouterr()
    return status, said.out + said.err


def test_a_job_from_its_run_to_its_export(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("shop")
    url = user_database(tmp_path / "shop.db")
    policy = tmp_path / "policy.yaml"
    query = "SELECT * FROM users WHERE at < :as_of"
    policy.write_text("model: shop\n" + job(f"{{query: '{query}', url: '{url}'}}", "default: 1"))
    assert say(hub, capsys, "policy", "apply", str(policy))[0] == 0
    status, text = say(hub, capsys, "batch", "run", "shop", "users", "--wait")
    assert status == 0, text
    assert "is whole" in text
    assert "50 entities, parts 1 of 1, answered by shop 1.0" in text
    status, text = say(hub, capsys, "batch", "list", "shop")
    assert "whole" in text
    status, text = say(hub, capsys, "predictions", "get", "shop", "user-7", "stranger", "--json")
    assert [answer["source"] for answer in json.loads(text)] == ["batch", "default"]
    status, text = say(hub, capsys, "predictions", "get", "shop", "user-7")
    assert "probabilities=" in text
    for name in ("out.parquet", "out.csv", "out.db"):
        target = tmp_path / name
        assert say(hub, capsys, "predictions", "export", "shop", "users", str(target))[0] == 0
        assert target.stat().st_size > 1_000
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 50
    status, text = say(hub, capsys, "predictions", "export", "shop", "users", "out.xlsx")
    assert (status, ".parquet" in text) == (1, True)
    since = ("--since", "2d", "--every", "1d")
    status, text = say(hub, capsys, "batch", "backfill", "shop", "users", *since, "--json")
    numbers = [record["id"] for record in json.loads(text)]
    again = say(hub, capsys, "batch", "backfill", "shop", "users", *since, "--json")[1]
    assert [record["id"] for record in json.loads(again)] == numbers


def test_packs_for_devices_are_looked_at_published_and_saved(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("market")
    policy, pack = tmp_path / "policy.yaml", tmp_path / "eu.pack"
    path = users(tmp_path / "users.parquet")
    held = "attributes: [region], entities: region"

    def declare(more: str) -> None:
        policy.write_text("model: market\n" + job(f"{{parquet: {path}}}", more))
        assert say(hub, capsys, "policy", "apply", str(policy))[0] == 0

    declare("attributes: [region]")
    status, text = say(hub, capsys, "batch", "publish", "market")
    assert (status, "no batch job with entities" in text) == (1, True)
    assert "devices hold no answers by entity" in say(hub, capsys, "batch", "packs", "market")[1]
    assert say(hub, capsys, "batch", "run", "market", "users", "--wait")[0] == 0
    declare(f"{held}, pack_entries: 7")
    status, text = say(hub, capsys, "batch", "publish", "market", "--wait")
    assert (status, "is not published" in text, "a finer attribute" in text) == (1, True, True)
    declare(held)
    status, text = say(hub, capsys, "batch", "publish", "market", "--wait")
    assert (status, "by market 1.0" in text, "not published" in text) == (0, True, False)
    status, text = say(hub, capsys, "batch", "packs", "market", "--json")
    shares = json.loads(text)["index"]["shares"]
    assert {value: share["entities"] for value, share in shares.items()} == {"eu": 25, "us": 25}
    status, text = say(hub, capsys, "batch", "pack", "market", str(pack))
    assert (status, "expected the share of eu, us" in text) == (1, True)
    assert say(hub, capsys, "batch", "pack", "market", str(pack), "--share", "eu")[0] == 0
    assert edge(["pack", "get", str(pack), "--entity", "user-7", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["probabilities"] == pytest.approx(softmax(rows(50), 0)[7].tolist(), rel=1e-5)
    assert edge(["pack", "get", str(pack), "--entity", "user-8"]) == 1
    assert "'user-8' has no answer in the pack" in capsys.readouterr().err
    assert edge(["pack", "get", str(pack)]) == 1
    assert "--entity NAME" in capsys.readouterr().err


def test_moments_of_the_past_are_the_same_whenever_one_asks() -> None:
    assert past_moments(1_000.0, 250.0, 100.0) == [800.0, 900.0, 1_000.0]
    assert past_moments(1_010.0, 250.0, 100.0) == [800.0, 900.0, 1_000.0]
