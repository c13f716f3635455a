"""Batch jobs over HTTP: who may ask, one entity, many, exports, both ways of asking."""

from __future__ import annotations

import io
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import requests

from edge_sdk.contract.version import HUB_HEADER
from tests.edge.builders import make_release
from tests.hub.batch.shop import job, users
from tests.hub.test_http import credential
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


class Asking:
    """The administrator of a hub whose job ``users`` of ``demo`` has a generation."""

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        self.hub = hub
        self._token = (hub.data / "admin.token").read_text()
        hub.admin.publish(make_release(folder / "made").folder, hub.key, override="test")
        hub.admin.post("models/demo/promote", version="1.0")
        self.path = users(folder / "users.parquet", 40, name="us/er {}")
        self.declare()
        id_ = hub.admin.post("models/demo/batch/users/generations")["id"]
        wait_for(lambda: hub.admin.get(f"generations/{id_}")["status"] == "whole", "a generation")

    def declare(self, more: str = "attributes: [region]") -> None:
        text = job(f"{{parquet: {self.path}}}", more)
        self.hub.admin.put("models/demo/policy", text.encode())

    def get(self, path: str, **more: Any) -> requests.Response:
        return self._send("GET", path, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self._send("POST", path, **more)

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = more.pop("headers", {"Authorization": f"Bearer {self._token}"})
        return requests.request(
            method, self.hub.url + path, headers=headers, timeout=PATIENCE, **more
        )


@pytest.fixture(scope="module")
def admin(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Asking:
    return Asking(hub, tmp_path_factory.mktemp("shop"))


def test_the_fast_path_and_the_general_way_answer_the_same(admin: Asking) -> None:
    fast = admin.get("/v1/models/demo/predictions/us/er 7")
    general = admin.post("/v1/models/demo/predictions", json={"entities": ["us/er 7"]})
    assert fast.status_code == general.status_code == 200
    assert [fast.json()] == general.json()
    assert fast.headers[HUB_HEADER] == general.headers[HUB_HEADER]
    answer = fast.json()
    assert (answer["source"], answer["version"], answer["job"]) == ("batch", "demo 1.0", "users")
    assert answer["valid_until"] > time.time() > answer["computed_at"]
    assert len(answer["probabilities"]) == 3
    assert admin.get("/v1/models/demo/predictions/us%2Fer%207?job=users").json() == answer


REFUSED = {
    "an unknown entity": ("/v1/models/demo/predictions/nobody", 404, "has no answer for it"),
    "an unknown job": ("/v1/models/demo/predictions/us/er 1?job=x", 404, "no batch job x"),
    "an unknown model": ("/v1/models/other/predictions/us/er 1", 404, "has no batch jobs"),
    "a tab": ("/v1/models/demo/predictions/a%09", 400, "without control characters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_answered_is_refused_in_words(admin: Asking, case: str) -> None:
    path, status, said = REFUSED[case]
    answer = admin.get(path)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_strangers_and_wrong_tokens_get_nothing(admin: Asking) -> None:
    path = "/v1/models/demo/predictions/us/er 1"
    for header in ({"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
        assert admin.get(path, headers=header).status_code == 401
        assert admin.post(path.rpartition("/us")[0], json={}, headers=header).status_code in (
            401,
            422,
        )


def test_devices_ask_only_where_the_policy_lets_them(admin: Asking) -> None:
    headers = {"Authorization": f"Bearer {credential(admin.hub, 'demo')}"}
    path = "/v1/models/demo/predictions/us/er 1"
    refused = admin.get(path, headers=headers)
    assert refused.status_code == 403
    assert "devices: true" in refused.json()["error"]
    admin.declare("attributes: [region], devices: true")
    assert admin.get(path, headers=headers).json()["source"] == "batch"
    admin.declare()
    other = admin.get(path.replace("demo", "other"), headers=headers)
    assert other.status_code == 403
    assert admin.get("/v1/models/demo/batch", headers=headers).status_code == 403


def test_many_come_in_order_and_those_without_an_answer_say_so(admin: Asking) -> None:
    names = ["us/er 3", "nobody", "us/er 1", "us/er 3"]
    answers = admin.post("/v1/models/demo/predictions", json={"entities": names}).json()
    assert [answer["entity"] for answer in answers] == names
    assert [answer["source"] for answer in answers] == ["batch", "none", "batch", "batch"]
    many = admin.post("/v1/models/demo/predictions", json={"entities": ["x"] * 1_001})
    assert many.status_code == 422


def table(admin: Asking, form: str) -> list[dict[str, Any]]:
    raw = admin.get("/v1/models/demo/batch/users/export", params={"format": form}).content
    if form == "parquet":
        return list(pq.read_table(io.BytesIO(raw)).to_pylist())
    if form == "csv":
        return list(csv.read_csv(io.BytesIO(raw)).to_pylist())
    db = sqlite3.connect(":memory:")
    db.deserialize(raw)
    db.row_factory = sqlite3.Row
    return [dict(row) for row in db.execute("SELECT * FROM predictions")]


@pytest.mark.parametrize("form", ["parquet", "csv", "sqlite"])
def test_an_export_has_the_answers_that_a_look_up_gives(admin: Asking, form: str) -> None:
    rows = table(admin, form)
    assert len(rows) == 40
    row = next(row for row in rows if row["entity"] == "us/er 7")
    answer = admin.get("/v1/models/demo/predictions/us/er 7").json()
    names = [f"probability_{i}" for i in range(3)]
    assert [row[name] for name in names] == pytest.approx(answer["probabilities"], rel=1e-6)
    assert (row["prediction"], row["version"]) == (answer["prediction"], "demo 1.0")
    assert (row["region"], row["generation"]) == ("eu", answer["generation"])


def test_jobs_and_generations_are_shown(admin: Asking) -> None:
    [status] = admin.get("/v1/models/demo/batch").json()
    assert (status["job"], status["line"], status["kept"]) == ("users", "demo", 1)
    [record] = admin.get("/v1/models/demo/batch/users/generations").json()
    assert record["id"] == status["current"]["id"]
    assert admin.get(f"/v1/generations/{record['id']}").json() == record
    assert admin.post(f"/v1/generations/{record['id']}/cancel").status_code == 409
    assert admin.get("/v1/generations/999").status_code == 404
    past = json.dumps({"moments": [1.0]})
    assert admin.post("/v1/models/demo/batch/users/backfill", data=past).status_code == 422
    dropped = admin.post(f"/v1/generations/{record['id']}/drop").json()
    assert dropped["status"] == "dropped"
    assert admin.get("/v1/models/demo/predictions/us/er 7").status_code == 404
