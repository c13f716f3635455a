"""Leaves on a grid: fewer bytes, answers within what the grid allows, base values untouched."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
)

from converters import convert
from converters.estimators.fitted_estimator import inspect_estimator
from converters.onnx_export.export import export
from converters.onnx_export.serialise import to_bytes
from converters.samples.rows import rows_of
from converters.trees.compact import coarse, compact
from converters.trees.readers import read
from converters.trees.rounding import STEPS, round_leaves
from tests.converters import builders

X, Y = make_classification(1_000, 12, n_informative=8, n_classes=3, random_state=0)
X = X.astype(np.float32)
VALUES = X[:, 0] * 40 + X[:, 1] ** 2 + 5_000

MODELS = {
    "boosting": (GradientBoostingClassifier(n_estimators=60, random_state=0), Y, 0.8),
    "values far from zero": (GradientBoostingRegressor(random_state=0), VALUES, 0.8),
    "a forest of shares": (RandomForestClassifier(40, min_samples_leaf=5, random_state=0), Y, 0.95),
}


def asked(proto):
    session = onnxruntime.InferenceSession(to_bytes(proto), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})[-1]


@pytest.mark.parametrize("name", MODELS)
def test_a_rounded_file_is_smaller_and_off_by_no_more_than_its_grid(name):
    model, targets, share = MODELS[name]
    model.fit(X, targets)
    proto = export(inspect_estimator(model), rows_of(X))
    near, exact = coarse(proto), compact(proto)
    onnx.checker.check_model(near, full_check=True)
    assert len(to_bytes(near)) < share * len(to_bytes(exact))
    ensemble = read(model).ensemble
    step = round_leaves(ensemble)[1]
    limit = step / 2 if read(model).average else step / 2 * len(ensemble.roots)
    assert 0 < np.abs(asked(near) - asked(exact)).max() <= limit * 1.001 + 1e-6


def test_a_forest_whose_leaves_are_few_already_has_no_rounded_form():
    model = RandomForestClassifier(10, random_state=0).fit(*builders.iris())
    proto = export(inspect_estimator(model), rows_of(builders.iris()[0]))
    assert coarse(proto) is None
    assert compact(proto) is not None


def test_what_has_no_trees_has_no_rounded_form():
    model = builders.model("ridge")
    assert coarse(export(inspect_estimator(model), rows_of(builders.diabetes()[0]))) is None


def test_base_values_and_zeros_stay_as_they_are():
    model = GradientBoostingRegressor(n_estimators=20, random_state=0).fit(X, VALUES)
    ensemble = read(model).ensemble.with_base(np.array([5_000.125]))
    near, step = round_leaves(ensemble)
    assert near.leaves[~near.roots[0]].tolist() == [5_000.125]
    assert len(near.leaves) <= STEPS + 2
    assert np.abs(near.sums(X) - ensemble.sums(X)).max() <= step / 2 * 20


def test_rounding_is_tried_where_it_is_asked_for_and_never_else(tmp_path):
    model = GradientBoostingClassifier(n_estimators=60, random_state=0).fit(X, Y)
    plain = convert(model, X, Y, name="m", out=tmp_path / "plain")
    assert "rounded-trees" not in {v.name for v in plain.certificate().variants}
    asked_for = ["compact-trees", "rounded-trees"]
    release = convert(model, X, Y, name="m", out=tmp_path / "asked", variants=asked_for)
    results = {v.name: v for v in release.certificate().variants}
    assert results["rounded-trees"].bytes < results["compact-trees"].bytes
    assert results["rounded-trees"].max_difference > results["compact-trees"].max_difference
