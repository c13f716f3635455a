"""Trees behind scalers: rows whose scaled values stand exactly where a tree splits."""

from __future__ import annotations

import warnings

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from tests.converters.trees import tree_builders

_random = np.random.default_rng(0)
X = _random.normal(3, 7, (800, 5)).round(1).astype(np.float32)
Y = (np.sin(X).sum(axis=1) > 0).astype(int)

SCALERS = {
    "standard": StandardScaler(),
    "scale alone": StandardScaler(with_mean=False),
    "mean alone": StandardScaler(with_std=False),
    "between": MinMaxScaler((-1, 3)),
    "clipped": MinMaxScaler(clip=True),
    "largest": MaxAbsScaler(),
    "robust": RobustScaler(),
    "two of them": make_pipeline(RobustScaler(), MinMaxScaler()),
}
MODELS = {
    "xgboost": xgboost.XGBClassifier(n_estimators=20, n_jobs=1),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1),
}


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("name", MODELS)
def test_a_scaler_before_trees_gives_the_very_numbers_of_the_original(name, scaler):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(SCALERS[scaler], MODELS[name]).fit(X, Y)
        rows = np.concatenate([X, X + np.spacing(X), X - np.spacing(X)])
        expected = model.predict_proba(rows)
    for answers in tree_builders.answers_of_files(model, X, rows):
        np.testing.assert_allclose(answers["probabilities"], expected, atol=2e-6)
