"""``edge-hub batch`` and ``predictions`` against a real hub."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cloud_hub.cli.data.batch import past_moments
from cloud_hub.cli.main import main
from tests.conftest import Publish
from tests.hub.batch.shop import job, user_database
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


def test_moments_of_the_past_are_the_same_whenever_one_asks() -> None:
    assert past_moments(1_000.0, 250.0, 100.0) == [800.0, 900.0, 1_000.0]
    assert past_moments(1_010.0, 250.0, 100.0) == [800.0, 900.0, 1_000.0]
