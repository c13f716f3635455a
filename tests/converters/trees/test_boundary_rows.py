"""Rows at thresholds find what rows of data do not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from converters import convert
from converters.errors import ParityError
from converters.trees import floats, probing
from tests.converters import builders

X, Y = builders.iris()
X = X.astype(np.float32)
FOREST = RandomForestClassifier(5, random_state=0).fit(X, Y)


def test_every_node_that_a_row_comes_by_is_probed_on_both_sides_of_its_threshold():
    ensemble = probing.ensemble_of(FOREST)
    rows = probing.at_thresholds(ensemble, X)
    passers = ensemble.passers(X)
    reached = np.flatnonzero(passers >= 0)
    assert len(reached) == ensemble.nodes
    below, above, at, _ = np.split(rows, 4)
    feature, each = ensemble.feature[reached], np.arange(len(reached))
    assert np.array_equal(at[each, feature], ensemble.threshold[reached])
    for neighbour in (below, above):
        apart = floats.ordinals(neighbour[each, feature]) - floats.ordinals(at[each, feature])
        assert (np.abs(apart) == 1).all()
    decided = ensemble.leaf_of(at) != ensemble.leaf_of(above)
    assert decided.any(axis=1).mean() > 0.8  # the rest leads to equal leaves either way


def test_a_threshold_rounded_to_the_nearest_float32_is_found(monkeypatch, tmp_path):
    def nearest(thresholds):
        return np.asarray(thresholds, np.float64).astype(np.float32)

    rows, labels = builders.digits()
    rows = (rows / 3).astype(np.float32)  # thresholds lie between numbers that are no halves
    model = RandomForestClassifier(10, random_state=0).fit(rows[:1_000], labels[:1_000])
    convert(model, rows[1_000:1_001], name="m", out=tmp_path / "floored")
    monkeypatch.setattr(floats, "at_most", nearest)
    with pytest.raises(ParityError, match="rows at thresholds"):
        convert(model, rows[1_000:1_001], name="m", out=tmp_path / "rounded")


def test_categories_are_probed_one_by_one_and_beyond():
    codes = np.arange(200, dtype=np.float32)[:, None] % 8
    model = HistGradientBoostingClassifier(categorical_features=[0], max_iter=2)
    model.fit(codes, np.isin(codes.ravel(), [1, 4, 5]))
    rows = probing.at_members(probing.ensemble_of(model), codes)
    assert {1, 4, 5} < set(rows.ravel().tolist())
    assert rows.max() >= 1000


NOT_THEIRS = {
    "behind a scaler": make_pipeline(StandardScaler(), FOREST),
    "inside a calibration": CalibratedClassifierCV(FOREST),
}


@pytest.mark.parametrize("case", NOT_THEIRS)
def test_trees_that_see_other_features_are_not_probed(case):
    assert probing.ensemble_of(NOT_THEIRS[case]) is None


@pytest.mark.parametrize("loss", ["log_loss", "exponential"])
def test_decision_values_of_boosting_are_calibrated_as_in_the_original(loss, tmp_path):
    boosted = GradientBoostingClassifier(n_estimators=5, loss=loss, random_state=0)
    model = CalibratedClassifierCV(boosted, cv=2).fit(X, Y > 1)
    release = convert(model, X, Y > 1, name="m", out=tmp_path / "r")
    assert release.certificate().variants[0].max_difference < 1e-5
