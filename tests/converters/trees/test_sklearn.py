"""Trees and forests of scikit-learn answer on the device as they do in scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from converters import convert
from converters.trees.readers import read
from edge_sdk import EdgeDevice
from tests.converters import builders
from tests.converters.trees import tree_builders

X, Y = builders.iris()
HOLED = builders.holed_iris()[0]
D, T = builders.diabetes()
WORDS = np.array(["äh", "b", "c"])[Y]

MODELS = {
    "tree": (DecisionTreeClassifier(random_state=0), X, Y),
    "tree of two classes": (DecisionTreeClassifier(max_depth=2, random_state=0), X, Y > 1),
    "extra tree": (ExtraTreeClassifier(random_state=0), X, Y),
    "forest": (RandomForestClassifier(20, random_state=0), X, Y),
    "forest with text labels": (RandomForestClassifier(20, random_state=0), X, WORDS),
    "forest of labels with gaps": (RandomForestClassifier(20, random_state=0), X, Y * 2 - 3),
    "shallow forest": (RandomForestClassifier(20, max_depth=2, random_state=0), X, Y),
    "shallow forest of two classes": (
        RandomForestClassifier(21, max_depth=2, random_state=0), X, Y > 1,
    ),
    "forest of two pure classes": (RandomForestClassifier(20, random_state=0), X, Y > 0),
    "forest fitted with missing values": (RandomForestClassifier(20, random_state=0), HOLED, Y),
    "extra trees with missing values": (ExtraTreesClassifier(20, random_state=0), HOLED, Y),
    "weighted classes": (
        RandomForestClassifier(20, class_weight={0: 1, 1: 3, 2: 0.1}, random_state=0), X, Y,
    ),
    "one class": (RandomForestClassifier(3, random_state=0), X[:50], Y[:50]),
    "regression tree": (DecisionTreeRegressor(random_state=0), D, T),
    "extra regression tree": (ExtraTreeRegressor(random_state=0), D, T),
    "regression forest": (RandomForestRegressor(20, random_state=0), D, T),
    "regression forest with missing values": (
        RandomForestRegressor(20, random_state=0), np.where(D > 0.08, np.nan, D), T,
    ),
    "two targets": (ExtraTreesRegressor(20, random_state=0), D, np.c_[T, -2 * T]),
    "a stump": (DecisionTreeRegressor(max_depth=1, random_state=0), D, T),
    "no split at all": (DecisionTreeRegressor(min_samples_leaf=400), D, T),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_both_files_answer_as_the_original(name):
    model, rows, targets = MODELS[name]
    rows = rows.astype(np.float32)
    model.fit(rows, targets)
    holes = np.where(np.random.default_rng(0).random(rows.shape) < 0.3, np.nan, rows)
    table = np.concatenate([rows, holes.astype(np.float32)])
    for answers in tree_builders.answers_of_files(model, rows, table):
        compared(answers, model, table)


def compared(answers, model, rows):
    if hasattr(model, "predict_proba"):
        expected = model.predict_proba(rows)
        np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-6)
        top = np.sort(expected, axis=1)
        sure = top[:, -1] - (top[:, -2] if expected.shape[1] > 1 else 0) > 1e-6
        plain = model.predict(rows)
        plain = plain.astype(int) if plain.dtype.kind in "bi" else plain
        assert (answers["label"].astype(str) == plain.astype(str))[sure].all()
    else:
        expected = model.predict(rows)
        np.testing.assert_allclose(answers["value"].reshape(expected.shape), expected, rtol=1e-5)


def test_a_forest_takes_missing_values_on_the_device(tmp_path):
    model = RandomForestClassifier(20, random_state=0).fit(HOLED, Y)
    release = convert(model, HOLED, Y, name="m", out=tmp_path / "r")
    assert release.manifest.training["missing"] == "allowed"
    with EdgeDevice.offline(tmp_path / "r") as device:
        labels = device.predict_batch(HOLED).labels
    assert list(labels) == list(model.predict(HOLED.astype(np.float32)))


@pytest.mark.parametrize("name", MODELS)
def test_the_form_itself_answers_as_the_original(name):
    model, rows, targets = MODELS[name]
    rows = rows.astype(np.float32)
    model.fit(rows, targets)
    expected = getattr(model, "predict_proba", model.predict)(rows)
    answers = read(model).answers(rows).reshape(expected.shape)
    np.testing.assert_allclose(answers, expected, rtol=1e-12, atol=1e-12)


def test_equal_votes_go_to_the_class_that_the_original_names(tmp_path):
    rows = np.arange(12, dtype=np.float32)[:, None]
    model = RandomForestClassifier(2, max_features=1, random_state=3)
    model.fit(rows, [0, 1] * 6)
    tied = (model.predict_proba(rows) == 0.5).all(axis=1)
    assert tied.any()
    convert(model, rows, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(tmp_path / "r") as device:
        assert list(device.predict_batch(rows).labels) == list(model.predict(rows))


def test_several_classified_columns_stand_side_by_side(tmp_path):
    targets = np.c_[Y, Y[::-1] > 0]
    model = RandomForestClassifier(10, random_state=0).fit(X, targets)
    convert(model, X, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(tmp_path / "r") as device:
        outputs = device.predict(X[70].astype(np.float32)).outputs
    row = X[70:71].astype(np.float32)
    assert outputs["labels"].ravel().tolist() == model.predict(row)[0].tolist()
    expected = np.hstack(model.predict_proba(row)).ravel()
    np.testing.assert_allclose(outputs["probabilities"].ravel(), expected, atol=1e-6)


OUTLIERS = {
    "all features": IsolationForest(n_estimators=20, random_state=0),
    "half of them": IsolationForest(
        n_estimators=20, max_features=0.5, contamination=0.1, random_state=0
    ),
    "trees of one row": IsolationForest(n_estimators=5, max_samples=1, random_state=0),
}


@pytest.mark.parametrize("case", OUTLIERS)
def test_an_isolation_forest_is_one_operator_and_scores_as_the_original(case):
    model = OUTLIERS[case].fit(X)
    rows = np.concatenate([X, X * 3, -X]).astype(np.float32)
    expected = model.decision_function(rows)
    sure = np.abs(expected) > 1e-6
    for answers in tree_builders.answers_of_files(model, X, rows):
        np.testing.assert_allclose(answers["value"].ravel(), expected, atol=1e-6)
        assert (answers["label"] == model.predict(rows))[sure].all()


PIPELINES = {
    "scaler": make_pipeline(StandardScaler(), RandomForestClassifier(10, random_state=0)),
    "imputer": make_pipeline(SimpleImputer(), ExtraTreesClassifier(10, random_state=0)),
    "passthrough": make_pipeline("passthrough", DecisionTreeClassifier(random_state=0)),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_forest_at_the_end_of_a_pipeline_has_both_forms(name, tmp_path):
    model = PIPELINES[name].fit(X, Y)
    release = convert(model, X, Y, name="m", out=tmp_path / "r")
    variants = release.certificate().variants
    assert {"float32", "compact-trees"} <= {v.name for v in variants}
    assert all(v.accepted and v.label_flips == 0 for v in variants)


def test_the_same_forest_gives_the_same_bytes(tmp_path):
    model = RandomForestClassifier(10, random_state=0).fit(X, Y)
    releases = [
        convert(model, X, name="m", out=tmp_path / name, variants=["float32"]) for name in "ab"
    ]
    assert releases[0].model_path.read_bytes() == releases[1].model_path.read_bytes()


def test_a_forest_of_a_hundred_trees_has_a_tenth_of_the_bytes_of_a_plain_export(tmp_path):
    from skl2onnx import to_onnx

    rows, labels = builders.digits()
    model = RandomForestClassifier(100, random_state=0).fit(rows[:900], labels[:900])
    plain = len(to_onnx(model, rows[:1].astype(np.float32)).SerializeToString())
    release = convert(model, rows[900:], labels[900:], name="m", out=tmp_path / "r")
    results = {v.name: v for v in release.certificate().variants}
    assert results["float32"].bytes < 0.3 * plain
    assert results["compact-trees"].bytes < 0.1 * plain
    assert results["compact-trees"].label_flips == 0
