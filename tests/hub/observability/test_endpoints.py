"""/healthz, /readyz, /metrics and request ids of a real hub."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for


def get(hub: HubProcess, path: str, token: str | None = None, **headers: str) -> requests.Response:
    bearer = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return requests.get(hub.url + path, headers={**bearer, **headers}, timeout=PATIENCE)


def reader(hub: HubProcess) -> str:
    return (hub.data / "metrics.token").read_text().strip()


def admin(hub: HubProcess) -> str:
    return (hub.data / "admin.token").read_text().strip()


def test_strangers_learn_that_the_hub_is_up_and_ready_and_no_more(hub: HubProcess) -> None:
    assert get(hub, "/healthz").json() == {"ok": True}
    answer = get(hub, "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert get(hub, "/metrics").status_code == 401
    assert get(hub, "/metrics", "guess").status_code == 401
    assert "checks" not in get(hub, "/readyz", "guess").json()


def test_who_has_the_token_reads_every_check(hub: HubProcess) -> None:
    for token in (reader(hub), admin(hub)):
        checks = {check["name"]: check for check in get(hub, "/readyz", token).json()["checks"]}
        assert set(checks) == {
            "database",
            "artifacts",
            "loop",
            "keys",
            "clock",
            "disk",
            "engine",
            "handles",
        }
        assert checks["database"]["state"] == "ok"


def scraped(hub: HubProcess) -> str:
    answer = get(hub, "/metrics", reader(hub))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return answer.text


def test_metrics_name_no_device_and_have_bounded_labels(hub: HubProcess) -> None:
    for path in ("/v1/health", "/v1/nothing/here", "/wp-login.php", "/v1/models/m/monitor"):
        get(hub, path)
    families = {f.name: f for f in text_string_to_metric_families(scraped(hub))}
    requests_ = families["edge_hub_http_requests"]
    groups = {sample.labels["group"] for sample in requests_.samples}
    assert {"health", "monitor", "other"} <= groups
    assert not {"wp-login.php", "nothing", "m"} & groups
    names = {name for f in families.values() for s in f.samples for name in s.labels}
    assert "device" not in names
    assert families["edge_hub_ready"].samples
    assert families["edge_hub_devices"].type == "gauge"
    assert all(name.startswith(("edge_hub_", "process_")) for name in families), sorted(families)


@pytest.mark.promtool
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's prometheus")
def test_promtool_finds_nothing_to_say_of_the_metrics(hub: HubProcess) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped(hub), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_request_keeps_its_sane_id_and_gets_one_else(hub: HubProcess) -> None:
    given = {"X-Request-ID": "6f1c-a.B_9"}
    assert get(hub, "/v1/health", **given).headers["X-Request-ID"] == "6f1c-a.B_9"
    for wrong in ("a b", "x" * 65, 'quo"te', "é"):
        name = requests.get(
            hub.url + "/v1/health", headers={"X-Request-ID": wrong.encode()}, timeout=PATIENCE
        ).headers["X-Request-ID"]
        assert name != wrong
        assert len(name) == 16
    refused = get(hub, "/v1/devices")
    assert refused.status_code == 401
    assert len(refused.headers["X-Request-ID"]) == 16


def test_lines_of_the_log_have_the_id_of_their_request(tmp_path: Path) -> None:
    own = HubProcess(tmp_path)
    try:
        own.kill()
        own._options += ["--log-format", "json", "--log-level", "debug"]
        own.start()
        get(own, "/v1/health", **{"X-Request-ID": "find-me"})
        own.token("demo")
        log = tmp_path / "hub.log"
        wait_for(lambda: "find-me" in log.read_text(), "the line of the request")
        lines = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
        (mine,) = [line for line in lines if line.get("request") == "find-me"]
        assert mine["message"].startswith("GET /v1/health answered 200")
        assert not any(admin(own) in json.dumps(line) for line in lines)
    finally:
        own.close()


def test_a_hub_whose_store_fails_is_not_ready_and_says_why_to_who_may_know(tmp_path: Path) -> None:
    own = HubProcess(tmp_path)
    try:
        own.kill()
        shutil.rmtree(own.data / "blobs", ignore_errors=True)
        (own.data / "blobs").write_text("in the way")
        own.start()
        answer = get(own, "/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ok": False})
        assert "Retry-After" in answer.headers
        told = get(own, "/readyz", reader(own))
        (failing,) = [c for c in told.json()["checks"] if c["state"] == "fail"]
        assert failing["name"] == "artifacts"
        assert failing["todo"]
        assert get(own, "/readyz?exclude=artifacts").status_code == 200
        assert get(own, "/healthz").status_code == 200
        ready = [line for line in get(own, "/metrics", reader(own)).text.splitlines()
                 if line.startswith("edge_hub_ready")]  # fmt: skip
        assert 'edge_hub_ready{check="artifacts"} 0.0' in ready
    finally:
        own.close()
