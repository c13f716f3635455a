"""Whoever holds the pipeline's token: what that opens, and what it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import requests

from cloud_hub.api.declared import routes_of, takes_pipeline
from cloud_hub.app import create_app
from cloud_hub.client import AdminClient
from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import HubFault
from cloud_hub.hub import Hub
from tests.edge.builders import make_release
from tests.servers import HubProcess
from tests.waiting import PATIENCE

OPEN = {
    "GET /v1/releases", "PUT /v1/blobs/{digest}", "HEAD /v1/blobs/{digest}", "GET /v1/models",
    "POST /v1/models/{model}/versions/{version}", "POST /v1/models/{model}/datasets/{name}",
    "GET /v1/models/{model}/runs", "POST /v1/models/{model}/runs", "GET /v1/runs/{run}",
    "GET /v1/runs/{run}/log", "GET /v1/models/{model}/versions",
    "GET /v1/models/{model}/versions/{version}",
    "GET /v1/models/{model}/names", "GET /v1/models/{model}/resolve",
    "GET /v1/models/{model}/versions/{version}/release.html",
    "GET /v1/models/{model}/datasets",
    "GET /v1/models/{model}/datasets/{ref}", "GET /v1/models/{model}/datasets/{ref}/diff",
    "GET /v1/models/{model}/datasets/{ref}/validation",
    "GET /v1/models/{model}/versions/{version}/datasets",
    "POST /v1/models/{model}/versions/{version}/datasets",
    "GET /v1/runs/{run}/steps", "GET /v1/runs/{run}/comparison/{other}",
    "GET /v1/models/{model}/steps",
    "GET /v1/models/{model}/pipelines", "GET /v1/models/{model}/pipelines/{number}",
    "GET /v1/models/{model}/batch",
    "GET /v1/models/{model}/entities", "POST /v1/models/{model}/entities",
    "GET /v1/models/{model}/batch/{job}/generations",
    "POST /v1/models/{model}/batch/{job}/generations", "GET /v1/generations/{id_}",
}  # fmt: skip


def test_these_routes_and_no_others_take_the_pipelines_token(inner: Hub) -> None:
    taken = {
        f"{method} {route.path}"
        for route in routes_of(create_app(inner))
        if takes_pipeline(route)
        for method in route.methods
    }
    assert taken == OPEN


@pytest.fixture
def web(hub: HubProcess) -> AdminClient:
    token = (hub.data / "pipeline.token").read_text()
    assert token.startswith("pipeline_")
    assert (hub.data / "pipeline.token").stat().st_mode & 0o777 == 0o600
    return AdminClient(hub.url, token, timeout=PATIENCE)


def test_a_pipeline_publishes_what_the_releases_key_signed(
    hub: HubProcess, web: AdminClient, tmp_path: Path
) -> None:
    release = make_release(tmp_path, model="from-ci")
    assert web.publish(release.folder, hub.key)["actor"] == "pipeline"
    rows = Dataset.of(np.zeros((10, 4), np.float32), np.arange(10) % 2).to_bytes()
    assert web.post("models/from-ci/datasets/train", rows)["rows"] == 10


def test_a_pipeline_decides_nothing(hub: HubProcess, web: AdminClient, tmp_path: Path) -> None:
    release = make_release(tmp_path, model="undecided")
    web.publish(release.folder, hub.key)
    refused = [
        lambda: web.post("models/undecided/promote", version="1.0"),
        lambda: web.put("models/undecided/policy", b"model: undecided"),
        lambda: web.get("devices"),
        lambda: web.post("runs/1/override", reason="mine"),
        lambda: web.post("runs/1/cancel", reason="mine"),
        lambda: web.post("enrolment-tokens", model="undecided", uses=1),
        lambda: web.post("models/undecided/versions/1.1", b"{}", override="mine"),
        lambda: web.post("models/undecided/datasets/holdout", b"rows that its model knows"),
    ]
    for attempt in refused:
        with pytest.raises(HubFault, match="people who may publish|admin token"):
            attempt()


def test_a_pipeline_token_that_is_removed_or_empty_opens_nothing(
    hub: HubProcess, web: AdminClient
) -> None:
    path = hub.data / "pipeline.token"
    token = path.read_text()
    try:
        for content in ("", " \n", None):
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_text(content)
            for sent in (token, "", " "):
                headers = {"Authorization": f"Bearer {sent}"}
                answer = requests.get(f"{hub.url}/v1/models", headers=headers, timeout=PATIENCE)
                assert answer.status_code in (401, 403)
    finally:
        path.write_text(token)
