"""Training in somebody's own pipeline: a real hub calls a webhook, and is called back."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import skops.io
from sklearn.linear_model import LogisticRegression

from cloud_hub.cli.main import main
from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import HubFault
from converters import convert
from tests.servers import HubProcess
from tests.waiting import PATIENCE, wait_for

POLICY = """
model: {model}
train:
  webhook: {url}
  mode: stateless
  minimum_samples: 0
  timeout: {timeout}
"""


class Pipeline:
    """Takes what hubs post; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.jobs: list[dict[str, Any]] = []
        pipeline = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                pipeline.jobs.append(json.loads(body))
                self.send_response(pipeline.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/train"

    def job(self) -> dict[str, Any]:
        return wait_for(lambda: self.jobs, "the hub's call")[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    pipeline = Pipeline()
    yield pipeline
    pipeline.close()


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(200, 4)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(np.int64)


def serve(hub: HubProcess, folder: Path, model: str, url: str, timeout: str = "1h") -> None:
    """A poor 1.0 serves, its rows are kept, and a run was asked for."""
    X, y = rows(1)
    poor = LogisticRegression().fit(X[:, ::-1], y)
    release = convert(poor, X, y, name=model, out=folder / "1.0")
    hub.admin.publish(release.folder, hub.key)
    hub.admin.post(f"models/{model}/promote", version="1.0")
    for kind, data in (("holdout", rows(3)), ("train", (X, y))):
        hub.admin.post(f"models/{model}/datasets/{kind}", Dataset.of(*data).to_bytes())
    text = POLICY.format(model=model, url=url, timeout=timeout)
    hub.admin.put(f"models/{model}/policy", text.encode())
    hub.admin.post(f"models/{model}/runs")


def run_of(hub: HubProcess, model: str) -> Any:
    def ended() -> Any:
        (run,) = hub.admin.get(f"models/{model}/runs")
        return None if run["status"] in ("waiting", "training") else run

    return wait_for(ended, "the end of the run", every=0.1)


def npz(X: np.ndarray, y: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, X=X, y=y)
    return file.getvalue()


def test_a_pipeline_fetches_trains_leaves_and_the_hub_tries_what_it_left(
    hub: HubProcess, pipeline: Pipeline, tmp_path: Path
) -> None:
    serve(hub, tmp_path, "piped", pipeline.url)
    job = pipeline.job()
    assert (job["model"], job["mode"], job["parent"]) == ("piped", "stateless", "1.0")
    web = requests.Session()
    web.headers.update({"Authorization": f"Bearer {job['token']}", "Connection": "close"})
    history = np.load(
        io.BytesIO(web.get(f"{job['data']}/history?format=npz", timeout=PATIENCE).content)
    )
    model = LogisticRegression().fit(history["X"], history["y"])
    early = web.post(job["result"], timeout=PATIENCE)
    assert (early.status_code, "leave a model" in early.json()["error"]) == (409, True)
    left = {"skops": skops.io.dumps(model), "check": npz(*rows(2)), "state": b"epoch 3"}
    for kind, raw in left.items():
        assert web.put(f"{job['result']}/{kind}", data=raw, timeout=PATIENCE).status_code == 204
    assert web.post(job["result"], timeout=PATIENCE).status_code == 204
    late = web.put(f"{job['result']}/skops", data=b"another", timeout=PATIENCE)
    assert late.status_code == 409
    run = run_of(hub, "piped")
    assert (run["status"], run["version"]) == ("experiment", "2.0"), run["reason"]
    assert "no secret readable" in run["isolation"]  # of its conversion
    assert run["pipeline"] is None  # it did not say with which code it had trained


def left_by(hub: HubProcess, pipeline: Pipeline, number: int, code: str) -> dict[str, Any]:
    """Have the pipeline train its job of a number and say that it did so with ``code``."""
    job = wait_for(lambda: pipeline.jobs[number:], "the hub's call")[0]
    own = {"Authorization": f"Bearer {job['token']}"}
    raw = skops.io.dumps(LogisticRegression().fit(*rows(1)))
    for kind, content in {"skops": raw, "check": npz(*rows(2))}.items():
        url = f"{job['result']}/{kind}"
        assert requests.put(url, data=content, headers=own, timeout=PATIENCE).status_code == 204
    params = {"code": code}
    assert requests.post(job["result"], params=params, headers=own, timeout=PATIENCE).ok
    return job


def test_code_elsewhere_has_the_versions_that_its_pipeline_names_and_is_gone_back_to(
    hub: HubProcess, pipeline: Pipeline, tmp_path: Path
) -> None:
    serve(hub, tmp_path, "named", pipeline.url)
    assert left_by(hub, pipeline, 0, "git 3f2c")["code"] is None
    run = run_of(hub, "named")
    assert (run["status"], run["pipeline"]) == ("experiment", 1), run["reason"]
    (version,) = hub.admin.get("models/named/pipelines")["versions"]
    assert (version["elsewhere"], version["files"]) == ("git 3f2c", {})
    (step,) = hub.admin.get("models/named/steps", step="train")
    assert step["inputs"]["code"] == version["digest"]
    hub.admin.post("models/named/pipelines/1/hold", reason="the newer one leaks")
    hub.admin.post(f"experiments/{run['experiment']}/stop", reason="next")
    wait_for(lambda: run_of(hub, "named")["status"] == "rolled_back", "the end of the first run")
    hub.admin.post("models/named/runs")
    assert left_by(hub, pipeline, 1, "git 9e1b")["code"] == "git 3f2c"

    def failed() -> Any:
        last = hub.admin.get("models/named/runs")[-1]
        return last if last["status"] == "failed" else None

    reason = wait_for(failed, "the end of the second run", every=0.1)["reason"]
    assert "is held at pipeline 1, git 3f2c, but the webhook's trained with git 9e1b" in reason
    with pytest.raises(HubFault, match="the code of pipeline 1 is elsewhere"):
        hub.admin.fetch("models/named/pipelines/1/files")


def test_whoever_has_not_the_runs_token_gets_nothing(
    hub: HubProcess, pipeline: Pipeline, tmp_path: Path
) -> None:
    serve(hub, tmp_path, "guarded", pipeline.url)
    job = pipeline.job()
    wrong = {"Authorization": "Bearer guess"}
    assert (
        requests.get(f"{job['data']}/history", headers=wrong, timeout=PATIENCE).status_code == 401
    )
    assert requests.get(f"{job['data']}/history", timeout=PATIENCE).status_code == 401
    url = f"{job['result']}/skops"
    assert requests.put(url, data=b"x", headers=wrong, timeout=PATIENCE).status_code == 401
    own = {"Authorization": f"Bearer {job['token']}"}
    assert requests.get(f"{job['data']}/secrets", headers=own, timeout=PATIENCE).status_code == 404
    pickled = requests.put(f"{job['result']}/pkl", data=b"x", headers=own, timeout=PATIENCE)
    assert (pickled.status_code, "expected one of" in pickled.json()["error"]) == (422, True)
    hub.admin.post(f"runs/{job['run']}/cancel", reason="test")
    over = requests.put(f"{job['result']}/onnx", data=b"x", headers=own, timeout=PATIENCE)
    assert (over.status_code, "is over" in over.json()["error"]) == (409, True)
    assert requests.get(f"{job['data']}/history", headers=own, timeout=PATIENCE).status_code == 409


def test_a_pipeline_that_says_it_failed_ends_the_run(
    hub: HubProcess, pipeline: Pipeline, tmp_path: Path
) -> None:
    serve(hub, tmp_path, "pipeline-fails", pipeline.url)
    job = pipeline.job()
    own = {"Authorization": f"Bearer {job['token']}"}
    params = {"reason": "no GPU left"}
    assert requests.post(job["result"], params=params, headers=own, timeout=PATIENCE).ok
    run = run_of(hub, "pipeline-fails")
    assert (run["status"], run["reason"]) == ("failed", "the pipeline said: no GPU left")


def test_a_pipeline_that_never_comes_back_ends_the_run(
    hub: HubProcess, pipeline: Pipeline, tmp_path: Path
) -> None:
    serve(hub, tmp_path, "silent", pipeline.url, timeout="1s")
    assert run_of(hub, "silent")["reason"] == "the pipeline left no model within 1 s"


def test_a_pipeline_that_refuses_or_is_not_there_ends_the_run(
    hub: HubProcess, pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.status = 503
    serve(hub, tmp_path / "a", "refused", pipeline.url)
    assert run_of(hub, "refused")["reason"].endswith("answered 503")
    serve(hub, tmp_path / "b", "absent", "http://127.0.0.1:9/train")
    assert "no answer (ConnectionError)" in run_of(hub, "absent")["reason"]


def test_the_commands_of_runs_against_a_real_hub(
    hub: HubProcess, pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def cli(*words: str) -> tuple[int, str]:
        code = main(["runs", *words, "--data", str(hub.data)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    serve(hub, tmp_path, "commanded", pipeline.url)
    number = str(pipeline.job()["run"])
    assert json.loads(cli("list", "commanded", "--json")[1])[0]["status"] == "training"
    code, out = cli("cancel", number, "--reason", "wrong data", "--json")
    assert (code, json.loads(out)["status"]) == (0, "cancelled")
    assert cli("logs", number, "--tail", "3")[0] == 0
    shown = cli("show", number)[1]
    assert f"run {number} is cancelled" in shown
    assert "isolation: no process of the hub has trained yet" in shown
    assert json.loads(cli("show", number, "--json")[1])["isolation"] == ""
    refusals = {
        ("cancel", number, "--reason", "again"): "is cancelled; only one that waits or trains",
        ("override", number, "--reason", "why not"): "is cancelled, not one of",
        ("logs", "9999"): "run 9999: not found",
        ("show", "9999"): "run 9999: not found",
        ("start", "nobody"): "nobody: no such model",
    }
    for words, reason in refusals.items():
        code, out = cli(*words)
        assert (code, reason in out) == (1, True), out
    code, out = cli("start", "commanded", "--mode", "stateful", "--reason", "better data", "--json")
    assert (code, json.loads(out)["causes"][0]["reason"]) == (0, "better data")
