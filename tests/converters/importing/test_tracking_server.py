"""Servers that are no MLflow, or lie: nothing is believed, nor written outside of the folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from converters.errors import ConversionError
from converters.importing.opening import open_import

RUN = "6b09a80119d7487787c2c0873a0cc1cf"
PLACE = "mlflow-artifacts:/1/m/artifacts"

Answers = dict[str, Any]


class LyingServer:
    """Answers each path with what ``answers`` has for its end; with 404 where it has nothing."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[str] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                liar.asked.append(self.path)
                path = self.path.partition("?")[0]
                ends = [end for end in liar.answers if path.endswith(end)]
                found = liar.answers[max(ends, key=len)] if ends else None
                raw = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[LyingServer]:
    server = LyingServer()
    server.answers = honest()
    yield server
    server.close()


def honest() -> Answers:
    """What MLflow says of a run whose model has one file besides ``MLmodel``."""
    info = {"run_id": RUN, "experiment_id": "1", "artifact_uri": "mlflow-artifacts:/1/run"}
    return {
        "runs/get": {"run": {"info": info, "data": {"params": [{"key": "C", "value": "2.0"}]}}},
        "logged-models/search": {"models": [{"info": {"artifact_uri": PLACE}}]},
        "mlflow-artifacts/artifacts": {"files": []},
        "model-versions/get": {"model_version": {"version": "3", "run_id": RUN}},
        "model-versions/get-download-uri": {"artifact_uri": PLACE},
    }


def climbing(answers: Answers) -> None:
    files = [{"path": "../../../escaped", "is_dir": False}]
    answers["mlflow-artifacts/artifacts"] = {"files": files}
    answers["logged-models/search"] = {"models": [{"info": {"artifact_uri": PLACE}}]}


def rooted(answers: Answers) -> None:
    answers["mlflow-artifacts/artifacts"] = {"files": [{"path": "/../../../escaped"}]}


def endless(answers: Answers) -> None:
    answers["mlflow-artifacts/artifacts"] = {"files": [{"path": "a", "is_dir": True}] * 2_000}


def other_json(answers: Answers) -> None:
    answers["runs/get"] = ["run"]


def other_fields(answers: Answers) -> None:
    answers["runs/get"] = {"run": {"info": 3}}


def no_fields(answers: Answers) -> None:
    answers["logged-models/search"] = {"models": [{}]}


def files_that_are_none(answers: Answers) -> None:
    answers["mlflow-artifacts/artifacts"] = {"files": [3]}


def no_json(answers: Answers) -> None:
    answers["runs/get"] = b"<html>"


def no_model(answers: Answers) -> None:
    answers["logged-models/search"] = {}


def several_models(answers: Answers) -> None:
    model = {"info": {"artifact_uri": PLACE}}
    answers["logged-models/search"] = {"models": [model, model]}


def nothing(answers: Answers) -> None:
    answers.clear()


LIES: dict[Callable[[Answers], None], str] = {
    climbing: "outside of itself", rooted: "outside of itself", endless: "at most 1000 files",
    other_json: "got other JSON", other_fields: "expected a run of MLflow",
    no_fields: "expected an answer of MLflow",
    files_that_are_none: "expected an answer of MLflow",
    no_json: "expected a tracking server of MLflow",
    no_model: "expected one model of run .*, got 0", several_models: "got 2",
    nothing: "MLflow answered 404",
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_is_refused_and_writes_nothing_elsewhere(
    server: LyingServer, tmp_path: Path, lie: Callable[[Answers], None]
) -> None:
    lie(server.answers)
    place = tmp_path / "a" / "b" / "place"
    place.mkdir(parents=True)
    with pytest.raises(ConversionError, match=LIES[lie]):
        open_import(server.url, run=RUN, trust=True, place=place)
    assert not list(tmp_path.rglob("escaped"))


def test_a_model_in_a_folder_of_the_servers_own_machine_is_read_there(
    server: LyingServer, tmp_path: Path
) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors:\n  onnx:\n    data: model.onnx\n")
    (folder / "model.onnx").write_bytes(b"graph")
    server.answers["model-versions/get-download-uri"] = {"artifact_uri": folder.as_uri()}
    found = open_import(server.url, registered="churn/3", place=tmp_path)
    assert found.model == folder / "model.onnx"
    assert found.origin["mlflow.param.C"] == "2.0"
    assert found.origin["mlflow.version"] == "3"


def test_a_version_without_a_number_is_refused(server: LyingServer, tmp_path: Path) -> None:
    server.answers["model-versions/get"] = {"model_version": {}}
    with pytest.raises(ConversionError, match="expected an answer of MLflow"):
        open_import(server.url, registered="churn/3", place=tmp_path)


def test_an_address_without_a_server_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="expected a tracking server of MLflow"):
        open_import("http://127.0.0.1:9", run=RUN, place=tmp_path)
    with pytest.raises(ConversionError, match="say which model"):
        open_import("http://127.0.0.1:9", place=tmp_path)


def test_credentials_are_those_of_mlflows_own_client(
    server: LyingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.importing.tracking_server import TrackingServer

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    assert TrackingServer(server.url)._session.auth == ("ann", "s3cret")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t")
    assert TrackingServer(server.url)._session.headers["Authorization"] == "Bearer t"
