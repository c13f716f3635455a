"""MLflow as it is: models that its own client logged become releases, figures go to its server."""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import requests

from cloud_hub.client.mlflow import TAG, MlflowServer, VersionFigures
from converters.cli.main import main
from edge_sdk import EdgeDevice
from edge_sdk.model.release import Release
from tests.mlflow_server import MISSING, PYTHON, logged, running_server
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.mlflow, pytest.mark.skipif(not PYTHON.exists(), reason=MISSING)]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
HAS_TORCH = importlib.util.find_spec("torch") is not None
SAFE = ("skops", "onnx", "pt2")
FLAVOURS = {"skops": "sklearn", "cloudpickle": "sklearn", "onnx": "onnx"} | (
    {"pt2": "pytorch", "pickle": "pytorch"} if HAS_TORCH else {}
)


class Logged(NamedTuple):
    """A server, where it runs, and a run of each flavour."""

    url: str
    folder: Path
    runs: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("mlflow")
    with running_server(folder) as url:
        yield Logged(url, folder, logged(url, *FLAVOURS, folder=folder))


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "rows.npz"
    np.savez(path, X=X, y=Y)
    return str(path)


def imported(source: object, which: tuple[str, ...], data: str, *more: str) -> Release | int:
    """Run the command; return the release, or the status where there is none."""
    out = str(Path(data).with_name("churn-1.0"))
    words = ["import", str(source), *which, "--data", data, "--name", "churn", "--out", out, *more]
    status = main(words)
    return status if status else Release.open(out)


def right_answers(release: Release) -> float:
    """Return the share of rows that a device answers right."""
    with EdgeDevice.offline(release.folder) as device:
        batch = device.predict_batch(X)
    return float(np.mean(np.asarray(batch.probabilities).argmax(axis=1) == Y))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_run_of_a_server_becomes_a_release_in_each_flavour(
    server: Logged, data: str, flavour: str
) -> None:
    run = server.runs[flavour]
    trust = () if flavour in SAFE else ("--trust",)
    release = imported(server.url, ("--run", run), data, *trust)
    assert isinstance(release, Release)
    manifest = release.manifest
    assert manifest.metrics["mlflow.accuracy"] == 0.97
    assert "mlflow.loss" not in manifest.metrics
    said = {name: manifest.training[f"mlflow.{name}"] for name in ("param.C", "tag.team", "run")}
    assert said == {"param.C": "2.0", "tag.team": "vision", "run": run}
    assert manifest.training["mlflow.flavour"] == FLAVOURS[flavour]


@pytest.mark.parametrize(
    ("name", "version"), [("churn@champion", "1"), ("churn/1", "1"), ("models:/churn/latest", "2")]
)
def test_a_registered_model_of_a_server_answers_as_it_did_there(
    server: Logged, data: str, name: str, version: str
) -> None:
    release = imported(server.url, ("--model", name), data, "--trust")
    assert isinstance(release, Release)
    assert release.manifest.training["mlflow.version"] == version
    assert release.manifest.training.get("mlflow.tag.reviewed") == (
        "yes" if version == "1" else None
    )
    assert right_answers(release) > 0.95


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "a version that is not there": (("--model", "churn/9"), "MLflow answered 404"),
    "an alias of nobody": (("--model", "churn@nobody"), "alias nobody not found"),
    "a model that is not there": (("--model", "other"), "no registered model"),
    "a run that is not there": (("--run", "0" * 32), "MLflow answered 404"),
    "no run at all": (("--run", "../0"), "expected the id of a run"),
    "neither": ((), "say which model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_server_does_not_have_is_refused_in_words(
    server: Logged, data: str, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    which, reason = REFUSED[case]
    assert imported(server.url, which, data) == 1
    assert reason in capsys.readouterr().err


def test_a_pickle_of_a_server_takes_trust(
    server: Logged, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(server.url, ("--run", server.runs["cloudpickle"]), data) == 1
    assert "--trust" in capsys.readouterr().err


def experiment(server: Logged, name: str, place: str) -> str:
    """Return a run without a model in a new experiment whose files are elsewhere."""
    api = f"{server.url}/api/2.0/mlflow"
    new = {"name": name, "artifact_location": place}
    made = requests.post(f"{api}/experiments/create", json=new, timeout=PATIENCE).json()
    run = {"experiment_id": made["experiment_id"], "start_time": 0}
    began = requests.post(f"{api}/runs/create", json=run, timeout=PATIENCE).json()
    return str(began["run"]["info"]["run_id"])


def test_a_model_that_the_server_does_not_pass_on_is_refused_with_another_way(
    server: Logged, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment(server, "elsewhere", "s3://bucket/runs")
    assert imported(server.url, ("--run", run), data) == 1
    assert "mlflow artifacts download" in capsys.readouterr().err


def test_the_database_of_a_server_is_refused_with_the_way_through_the_server(
    server: Logged, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database = server.folder / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT count(*) FROM runs").fetchone()[0] > 0
    assert imported(database, ("--model", "churn"), data) == 1
    assert "mlflow server --backend-store-uri" in capsys.readouterr().err


def test_a_folder_that_mlflow_wrote_is_read_without_it(tmp_path: Path, data: str) -> None:
    runs = logged("mlruns", "skops", "cloudpickle", folder=tmp_path)
    release = imported(tmp_path / "mlruns", ("--model", "churn@champion"), data)
    assert isinstance(release, Release)
    assert release.manifest.training["mlflow.tag.reviewed"] == "yes"
    assert release.manifest.training["mlflow.param.C"] == "2.0"
    assert release.manifest.metrics["mlflow.accuracy"] == 0.97
    assert right_answers(release) > 0.95
    release.folder.rename(tmp_path / "first")
    second = imported(tmp_path / "mlruns", ("--run", runs["cloudpickle"]), data, "--trust")
    assert isinstance(second, Release)
    assert second.manifest.training["mlflow.run"] == runs["cloudpickle"]


def test_figures_that_are_exported_twice_are_one_run_of_the_server(server: Logged) -> None:
    tags = {TAG: "ab" * 32, "edge.version": "1.1"}
    metrics = {"training.accuracy": 0.9, "certificate.int8 static.bytes": 5.0}
    figures = VersionFigures("digits", "1.1", "ab" * 32, metrics, {"parent": "1.0"}, tags)
    client = MlflowServer(server.url)
    run = client.log("digits", figures)
    assert client.log("digits", figures) == run
    asked = {"run_id": run}
    told = requests.get(f"{server.url}/api/2.0/mlflow/runs/get", params=asked, timeout=PATIENCE)
    data = told.json()["run"]["data"]
    assert {each["key"]: each["value"] for each in data["metrics"]} == metrics
    assert {each["key"]: each["value"] for each in data["params"]} == {"parent": "1.0"}
    assert tags.items() <= {each["key"]: each["value"] for each in data["tags"]}.items()
    assert told.json()["run"]["info"]["status"] == "FINISHED"
