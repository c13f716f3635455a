"""Models of MLflow and Hugging Face: as they lie on disk, converted with what came along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from skops import io as skops_io

from converters.cli.main import main
from converters.errors import ConversionError
from converters.importing.opening import open_import
from edge_sdk.model.release import Release

RUN = "6b09a80119d7487787c2c0873a0cc1cf"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
MODEL = LogisticRegression(C=2.0).fit(X, Y)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def model_folder(folder: Path, kind: str = "cloudpickle", run: str | None = None) -> Path:
    """As ``mlflow.sklearn.save_model`` and ``mlflow.onnx.save_model`` write one."""
    folder.mkdir(parents=True)
    if kind == "cloudpickle":
        joblib.dump(MODEL, folder / "model.pkl")
        flavour = "  sklearn:\n    pickled_model: model.pkl\n    sklearn_version: 1.9.1\n"
    elif kind == "skops":
        skops_io.dump(MODEL, folder / "model.skops")
        flavour = "  sklearn:\n    pickled_model: model.skops\n"
    else:
        graph: Any = to_onnx(MODEL, X[:1], options={"zipmap": False})
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        flavour = "  onnx:\n    data: model.onnx\n    onnx_version: 1.19.0\n"
    flavour += "  python_function:\n    loader_module: mlflow.sklearn\n"
    write(folder / "MLmodel", f"flavors:\n{flavour}run_id: {run or 'null'}\n")
    return folder


@pytest.fixture
def mlruns(tmp_path: Path) -> Path:
    """A run of MLflow 3 that logged a model, which is registered."""
    root = tmp_path / "mlruns"
    run = root / "0" / RUN
    write(run / "meta.yaml", f"run_id: {RUN}\n")
    write(run / "params" / "C", "2.0")
    # As MLflow 3 writes them: logging a model writes an earlier value once more.
    write(run / "metrics" / "accuracy", "1796089005 0.97 1\n1796089006 0.5 0\nhalf a li")
    write(run / "metrics" / "loss", "1796089004 nan 0\n")
    write(run / "tags" / "team", "vision")
    write(run / "tags" / "mlflow.user", "root")
    logged = root / "0" / "models" / "m-1"
    write(logged / "meta.yaml", f"model_id: m-1\nsource_run_id: {RUN}\n")
    model_folder(logged / "artifacts", run=RUN)
    version = root / "models" / "churn" / "version-1"
    write(
        version / "meta.yaml",
        f"name: churn\nversion: 1\nrun_id: {RUN}\nsource: models:/m-1\n"
        "storage_location: file:///elsewhere/mlruns/0/models/m-1/artifacts\n",
    )
    write(version / "tags" / "reviewed", "yes")
    write(root / "models" / "churn" / "aliases" / "champion", "1")
    np.savez(tmp_path / "rows.npz", X=X, y=Y)
    return root


@pytest.mark.parametrize("name", ["churn", "churn/1", "churn@champion", "models:/churn/latest"])
def test_a_registered_model_becomes_a_release_with_what_its_run_said(
    mlruns: Path, name: str
) -> None:
    found = open_import(mlruns, registered=name, trust=True)
    assert found.reported == {"mlflow.accuracy": 0.97}
    assert found.origin["mlflow.param.C"] == "2.0"
    assert found.origin["mlflow.tag.team"] == "vision"
    assert found.origin["mlflow.tag.reviewed"] == "yes"
    assert "mlflow.tag.mlflow.user" not in found.origin


def test_the_command_makes_a_release_of_a_run(mlruns: Path, tmp_path: Path) -> None:
    data, out = str(tmp_path / "rows.npz"), str(tmp_path / "churn-1.0")
    words = ["import", str(mlruns), "--run", RUN, "--data", data, "--name", "churn", "--out", out]
    assert main(words) == 1  # a pickle of nobody that is trusted
    assert main([*words, "--trust"]) == 0
    manifest = Release.open(out).manifest
    assert manifest.metrics["mlflow.accuracy"] == 0.97
    assert manifest.metrics["score"] > 0.9
    assert manifest.training["mlflow.run"] == RUN
    assert manifest.training["estimator"] == "LogisticRegression"


@pytest.mark.parametrize("kind", ["skops", "onnx"])
def test_flavours_that_run_no_code_need_no_trust(tmp_path: Path, kind: str) -> None:
    found = open_import(model_folder(tmp_path / "m", kind))
    assert Path(found.model).suffix == f".{kind}"
    assert found.origin["mlflow.flavour"] == ("onnx" if kind == "onnx" else "sklearn")


def test_a_snapshot_with_onnx_is_imported_with_its_licence(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    write(folder / "config.json", json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    write(folder / "README.md", "---\nlicense: apache-2.0\n---\n# A model\n")
    write(folder / "onnx" / "model.onnx", "")
    write(folder / "onnx" / "a_quantized.onnx", "")
    found = open_import(folder)
    assert (found.model.name, found.licence) == ("model.onnx", "apache-2.0")
    assert found.origin["huggingface.architecture"] == "ViTModel"


def out_of_the_folder(root: Path) -> Path:
    write(root / "MLmodel", "flavors:\n  sklearn:\n    pickled_model: ../../secret.pkl\n")
    return root


def another_flavour(root: Path) -> Path:
    write(root / "MLmodel", "flavors:\n  spark: {}\n  python_function: {}\n")
    return root


def a_yaml_that_runs_code(root: Path) -> Path:
    write(root / "MLmodel", "!!python/object/apply:os.system ['touch /tmp/x']\n")
    return root


def a_snapshot_of_pickles(root: Path) -> Path:
    write(root / "config.json", "{}")
    write(root / "pytorch_model.bin", "")
    return root


def a_snapshot_with_its_own_code(root: Path) -> Path:
    write(root / "config.json", json.dumps({"auto_map": {"AutoModel": "evil.Model"}}))
    write(root / "model.safetensors", "")
    return root


def an_empty_folder(root: Path) -> Path:
    root.mkdir()
    return root


REFUSED = {
    out_of_the_folder: "outside of itself", another_flavour: "got spark, python_function",
    a_yaml_that_runs_code: "expected YAML of MLflow",
    a_snapshot_of_pickles: "save the model with safetensors",
    a_snapshot_with_its_own_code: "never run", an_empty_folder: "expected a folder with MLmodel",
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imported_is_refused_with_what_is_missing(tmp_path: Path, case: Any) -> None:
    with pytest.raises(ConversionError, match=REFUSED[case]):
        open_import(case(tmp_path / "m"), trust=True)


@pytest.mark.parametrize("registered", ["other/1", "churn/9", "churn@nobody", "../0/1", "churn/x"])
def test_what_is_not_registered_is_refused(mlruns: Path, registered: str) -> None:
    with pytest.raises(ConversionError, match="there are"):
        open_import(mlruns, registered=registered, trust=True)


@pytest.mark.parametrize("run", ["0" * 32, "../0", ""])
def test_a_run_that_is_not_there_is_refused(mlruns: Path, run: str) -> None:
    with pytest.raises(ConversionError, match="run"):
        open_import(mlruns, run=run, trust=True)
