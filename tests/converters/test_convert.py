"""Every kind of model answers on the device as it does in scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import Budget
from edge_sdk.model.release import Release
from edge_sdk.update.probe import probe
from tests.converters import builders


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Releases by model name, each converted once."""
    folder, releases = tmp_path_factory.mktemp("releases"), {}

    def release(name: str) -> Release:
        if name not in releases:
            X, y = builders.data_of(name)
            out = folder / str(len(releases))
            releases[name] = convert(builders.model(name), X, y, name="m", out=out)
        return releases[name]

    return release


CLASSIFIERS = [n for n in builders.MODELS if hasattr(builders.MODELS[n][0](), "predict_proba")]
REGRESSORS = ["ridge", "values far from zero", "forest regressor", "boosting regressor"]


@pytest.mark.parametrize("name", builders.MODELS)
def test_a_release_passes_the_devices_own_probe(made, name):
    assert probe(Release.open(made(name).folder)).golden_rows > 0


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_the_originals_labels_and_probabilities(made, name):
    X, _ = builders.data_of(name)
    original = builders.model(name)
    with EdgeDevice.offline(made(name).folder) as device:
        answers = device.predict_batch(X)
    exact = made(name).manifest.variant == "float32"
    agree = np.asarray(answers.labels).astype(str) == _plain(original.predict(X))
    assert agree.all()
    gap = np.abs(answers.probabilities - original.predict_proba(X)).max()
    assert gap < (1e-4 if exact else 0.1)


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_gives_the_originals_values(made, name):
    X, y = builders.data_of(name)
    expected = builders.model(name).predict(X)
    with EdgeDevice.offline(made(name).folder) as device:
        values = np.asarray(device.predict_batch(X).values).ravel()
    assert np.abs(values - expected).max() < 1e-4 * max(y.std(), 0.01 * np.abs(y).max())


def test_single_rows_answer_as_the_batch_does(made):
    X, _ = builders.data_of("forest")
    with EdgeDevice.offline(made("forest").folder) as device:
        batch = device.predict_batch(X[:20])
        singles = [device.predict(row) for row in X[:20]]
    assert [p.label for p in singles] == list(batch.labels)
    np.testing.assert_allclose([p.probabilities for p in singles], batch.probabilities, atol=1e-6)


def test_a_dict_by_the_dataframes_column_names_is_a_row(made):
    frame, _ = builders.shop()
    with EdgeDevice.offline(made("text column").folder) as device:
        answers = [device.predict(row).label for row in frame.head(20).to_dict("records")]
        unseen = device.predict({"price": 1.0, "pieces": 1, "city": "nowhere"})
    assert answers == list(builders.model("text column").predict(frame.head(20)))
    assert unseen.label in ("later", "now")


def test_names_and_dtypes_of_columns_are_kept(made):
    columns = made("text column").manifest.signature.columns
    assert [(c.name, c.dtype) for c in columns] == [
        ("price", "float32"),
        ("pieces", "int64"),
        ("city", "string"),
    ]


def test_small_integers_beside_fractions_share_one_tensor(made):
    signature = made("integers beside fractions").manifest.signature
    assert [spec.shape for spec in signature.inputs] == [(None, 4)]


def test_identifiers_that_float32_cannot_hold_get_their_own_tensor(tmp_path):
    X, y = builders.named_iris()
    X = X.assign(width=np.arange(len(X)) % 3 + (1 << 30))
    encode = ColumnTransformer([("shop", OneHotEncoder(), ["width"])], remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression(max_iter=1_000)).fit(X, y)
    release = convert(model, X, y, name="m", out=tmp_path / "r")
    assert release.manifest.signature.columns[1].dtype == "int64"


def test_identifiers_in_a_dict_row_are_not_rounded(tmp_path):
    frame = pd.DataFrame({"who": np.arange(200) % 2 + (1 << 30), "x": np.linspace(0, 1, 200)})
    encode = ColumnTransformer([("who", OneHotEncoder(), ["who"])])
    model = make_pipeline(encode, LogisticRegression()).fit(frame, np.arange(200) % 2)
    convert(model, frame, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(tmp_path / "r") as device:
        assert [device.predict({"who": (1 << 30) + i, "x": 0.5}).label for i in (0, 1)] == [0, 1]


def test_columns_that_the_model_drops_are_still_part_of_its_rows(made):
    names = [column.name for column in made("columns by name").manifest.signature.columns]
    assert names == ["sepal", "width", "petal", "depth"]


def test_a_dataframe_in_another_order_is_put_in_the_models(made, tmp_path):
    X, y = builders.named_iris()
    turned = X[list(X.columns[::-1])]
    release = convert(builders.model("names"), turned, y, name="m", out=tmp_path / "r")
    assert release.model_path.read_bytes() == made("names").model_path.read_bytes()
    assert release.profile() == made("names").profile()


def test_a_classifier_without_probabilities_gives_labels_alone(made):
    outputs = made("no probabilities").manifest.signature.outputs
    assert [spec.name for spec in outputs] == ["label"]


@pytest.mark.parametrize("name", builders.MODELS)
def test_formats_are_those_that_the_oldest_runtime_reads(made, name):
    needs, variant = made(name).manifest.runtime, made(name).manifest.variant
    assert needs.ir_version <= 10
    assert needs.opsets.get("", 18) <= 18
    assert needs.opsets.get("ai.onnx.ml", 3) <= (5 if variant == "compact-trees" else 3)


def test_the_model_file_says_nothing_about_who_made_it(made):
    raw = made("scaler and MLP").model_path.read_bytes()
    assert b"skl2onnx" not in raw


def test_the_manifest_carries_what_was_asked(tmp_path):
    X, y = builders.iris()
    release = convert(
        builders.model("voting"),
        X,
        y,
        name="iris",
        out=tmp_path / "deep" / "r",
        version="1.1",
        parent="1.0",
        mode="stateful",
        licence="MIT",
        device_budget=Budget(p99_ms=50.0),
        data=(X[:100], y[:100]),
    )
    manifest = release.manifest
    assert (manifest.model, manifest.version, manifest.licence) == ("iris", "1.1", "MIT")
    assert (manifest.lineage.mode, manifest.lineage.parent) == ("stateful", "1.0")
    assert manifest.lineage.rows == 100
    assert manifest.budget.p99_ms == 50.0
    assert manifest.metrics["score"] == pytest.approx(builders.model("voting").score(X, y))


def test_the_certificate_says_how_it_was_measured_and_not_where(made):
    release = made("scaler and MLP")
    certificate = release.certificate()
    assert [v.name for v in certificate.variants] == [
        "float32",
        "float16-storage",
        "int8-storage",
        "int8-dynamic",
    ]
    assert certificate.rows == len(builders.data_of("scaler and MLP")[0])
    assert {"onnxruntime", "scikit-learn", "skl2onnx"} <= set(certificate.tools)
    assert certificate.repeat.startswith("edge-convert verify")
    assert certificate.repeat.endswith(
        "edge-convert convert MODEL --data FILE --name NAME --out FOLDER"
    )
    import platform

    raw = json.dumps(certificate.machine) + certificate.repeat
    assert platform.node() not in raw
    assert str(Path(release.folder).parent) not in raw


def test_progress_names_each_step(tmp_path):
    X, y = builders.iris()
    lines: list[str] = []
    convert(builders.model("voting"), X, y, name="m", out=tmp_path / "r", progress=lines.append)
    assert lines[0] == "exporting"
    assert lines[-1].startswith("writing")


def _plain(labels):
    labels = labels.astype(np.int64) if labels.dtype.kind in "bf" else labels
    return labels.astype(str)
