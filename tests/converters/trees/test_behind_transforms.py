"""Trees behind transformers: training rows stand exactly where the trees split."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
)

from converters import convert
from converters.errors import ParityError
from converters.trees import probing
from edge_sdk import EdgeDevice

_random = np.random.default_rng(0)
X = np.exp(_random.normal(size=(300, 4)))
Y = np.sin(X[:, 0] * 3) + X[:, 1] + _random.normal(0, 0.2, 300)
TRAIN = 200


def boosted():
    return xgboost.XGBRegressor(n_estimators=20, n_jobs=1)


BEFORE = {
    "powers": PowerTransformer(),
    "projection": PCA(3),
    "lengths": Normalizer(),
    "clipped": MinMaxScaler(clip=True),
    "clipped by size": MaxAbsScaler(),
    "products": PolynomialFeatures(2),
}


def answers(release, rows):
    with EdgeDevice.offline(release.folder) as device:
        return np.asarray(device.predict_batch(rows).values).ravel()


@pytest.mark.parametrize("name", BEFORE)
def test_training_rows_go_where_they_went(name, tmp_path):
    model = make_pipeline(BEFORE[name], boosted()).fit(X[:TRAIN], Y[:TRAIN])
    release = convert(
        model, X[TRAIN:], name="m", out=tmp_path / "r", data=(X[:TRAIN], Y[:TRAIN]),
        variants=["float32"],
    )  # fmt: skip
    off = np.abs(answers(release, X) - model.predict(X))
    assert off.max() < 1e-4 * Y.std()
    assert {column.dtype for column in release.manifest.signature.columns} == {"float64"}


def test_rows_that_are_float32_need_no_wider_tensor(tmp_path):
    rows = X.astype(np.float32)
    model = make_pipeline(StandardScaler(), boosted()).fit(rows[:TRAIN], Y[:TRAIN])
    release = convert(model, rows[TRAIN:], name="m", out=tmp_path / "r", variants=["float32"])
    assert {column.dtype for column in release.manifest.signature.columns} == {"float32"}
    np.testing.assert_allclose(answers(release, rows), model.predict(rows), atol=1e-5)


@pytest.mark.parametrize("name", ["lightgbm", "histogram"])
def test_a_decimal_at_a_threshold_goes_where_it_went(name, tmp_path):
    """Midpoints between prices are prices: 1004.7 is met exactly, in float64 and in no float32."""
    prices = np.arange(1000, 1040, 0.2).round(1)[:, None]
    target = np.sin(prices.ravel() * 7)
    model = {
        "lightgbm": lightgbm.LGBMRegressor(n_estimators=20, min_child_samples=1, verbose=-1),
        "histogram": HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=1),
    }[name].fit(prices, target)
    between = np.arange(1000, 1040, 0.1).round(1)[:, None]
    release = convert(model, prices, name="m", out=tmp_path / "r", variants=["float32"])
    np.testing.assert_allclose(answers(release, between), model.predict(between), atol=1e-5)


def test_a_decimal_at_a_threshold_goes_where_it_went_behind_a_constant(tmp_path):
    """A constant that fills holes is an object, and the column float64 nevertheless."""
    prices = np.arange(1000, 1040, 0.2).round(1)[:, None]
    prices[::9] = np.nan
    filled = SimpleImputer(strategy="constant", fill_value=-1.5)
    model = make_pipeline(filled, HistGradientBoostingRegressor(max_iter=20, min_samples_leaf=1))
    model.fit(prices, np.sin(np.nan_to_num(prices).ravel() * 7))
    between = np.arange(1000, 1040, 0.1).round(1)[:, None]
    release = convert(model, prices, name="m", out=tmp_path / "r", variants=["float32"])
    np.testing.assert_allclose(answers(release, between), model.predict(between), atol=1e-5)


def test_probes_stand_next_to_each_other_on_both_sides_behind_a_transformer():
    model = make_pipeline(PowerTransformer(), boosted()).fit(X, Y)
    transform, trees = probing.behind(model)
    left, right = np.split(probing.around_thresholds(transform, trees, X), 2)
    assert len(left) > 100
    same = left.astype(np.float32) == right.astype(np.float32)
    neighbours = np.nextafter(left.astype(np.float32), right.astype(np.float32))
    assert (same | (neighbours == right)).mean() > 0.9
    assert (model.predict(left) != model.predict(right)).mean() > 0.9


def test_a_transform_that_is_off_in_the_last_float32_digits_is_found(monkeypatch, tmp_path):
    from converters.lowering.transformers import scalers

    monkeypatch.setattr(scalers, "_SHARP", ())  # as if trees took any float32
    model = make_pipeline(StandardScaler(), boosted()).fit(X[:TRAIN].astype(np.float32), Y[:TRAIN])
    monkeypatch.setattr(
        "converters.sources.estimator_source.EstimatorSource._export",
        lambda self, *, exact, wide: _narrow(self),
    )
    with pytest.raises(ParityError, match="rows"):
        convert(model, X[TRAIN:], name="m", out=tmp_path / "r", data=(X[:TRAIN], Y[:TRAIN]))


def _narrow(source):
    from converters.onnx_export.export import export

    rows = source._rows_of(source._X, apart=False)
    return export(source._model, rows), rows
