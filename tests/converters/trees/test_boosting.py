"""Boosted trees of scikit-learn, LightGBM, XGBoost and CatBoost answer as their libraries do."""

from __future__ import annotations

import warnings

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from converters import ConversionError, convert
from converters.trees import floats
from converters.trees.readers import read
from edge_sdk import EdgeDevice
from tests.converters import builders
from tests.converters.trees import tree_builders

X, Y = (np.asarray(part) for part in builders.iris())
X = X.astype(np.float32)
HOLED = builders.holed_iris()[0].astype(np.float32)
D, T = builders.diabetes()
D = D.astype(np.float32)
COUNTS = (T // 50).astype(float)
WORDS = np.array(["äh", "b", "c"])[Y]

_random = np.random.default_rng(0)
CODES = np.column_stack([_random.integers(0, 20, 600), _random.normal(size=600)]).astype(np.float32)
CODED = (np.isin(CODES[:, 0], [1, 4, 7, 8, 13]) ^ (CODES[:, 1] > 0.5)).astype(int)
HOLED_CODES = np.where(_random.random(CODES.shape) < 0.1, np.nan, CODES).astype(np.float32)
SPARSE = np.where(_random.random((600, 3)) < 0.5, 0, _random.normal(size=(600, 3)))
SPARSE = SPARSE.astype(np.float32)
LIT = (SPARSE.sum(axis=1) + (SPARSE[:, 0] == 0) > 0.4).astype(int)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for each other's threads."""
    with threadpool_limits(1):
        yield


def lgb(kind=lightgbm.LGBMClassifier, **options):
    return kind(**{"n_estimators": 12, "verbose": -1, "n_jobs": 1} | options)


def xgb(kind=xgboost.XGBClassifier, **options):
    return kind(**{"n_estimators": 12, "n_jobs": 1} | options)


def cat(kind=catboost.CatBoostClassifier, **options):
    quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
    return kind(**quiet | {"iterations": 12, "depth": 4} | options)


def hist(**options):
    return HistGradientBoostingClassifier(**{"max_iter": 12, "random_state": 0} | options)


GRADIENT, HISTOGRAM = GradientBoostingRegressor, HistGradientBoostingRegressor
LIGHT, EXTREME, CAT = lightgbm.LGBMRegressor, xgboost.XGBRegressor, catboost.CatBoostRegressor

MODELS = {
    "gradient boosting": (GradientBoostingClassifier(random_state=0, n_estimators=10), X, Y),
    "gradient boosting of two classes": (
        GradientBoostingClassifier(random_state=0, n_estimators=10), X, Y > 1,
    ),
    "exponential loss": (
        GradientBoostingClassifier(random_state=0, n_estimators=10, loss="exponential"), X, Y > 1,
    ),
    "gradient boosting from zero": (
        GradientBoostingClassifier(random_state=0, n_estimators=10, init="zero"), X, WORDS,
    ),
    "boosted values": (GRADIENT(random_state=0, n_estimators=20), D, T),
    "boosted quantiles": (GRADIENT(random_state=0, n_estimators=20, loss="quantile"), D, T),
    "adaboost": (AdaBoostClassifier(n_estimators=10, random_state=0), X, WORDS),
    "adaboost of two classes": (
        AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=10, random_state=0),
        X, Y > 1,
    ),
    "histogram boosting": (hist(), HOLED, Y),
    "histogram boosting of two classes": (hist(), X, WORDS == "b"),
    "histogram boosting with categories": (
        hist(categorical_features=[0], min_samples_leaf=5), CODES, CODED,
    ),
    "histogram boosting with missing categories": (
        hist(categorical_features=[0], min_samples_leaf=5), HOLED_CODES, CODED,
    ),
    "histogram boosting with categories in the second column": (
        hist(categorical_features=[1], min_samples_leaf=5), HOLED_CODES[:, ::-1], CODED,
    ),
    "poisson link": (HISTOGRAM(random_state=0, max_iter=12, loss="poisson"), D, COUNTS),
    "gamma link": (HISTOGRAM(random_state=0, max_iter=12, loss="gamma"), D, T),
    "absolute error": (HISTOGRAM(random_state=0, max_iter=12, loss="absolute_error"), D, T),
    "lightgbm": (lgb(), X, Y),
    "lightgbm of two classes": (lgb(), X, WORDS == "b"),
    "lightgbm with text labels": (lgb(), X, WORDS),
    "lightgbm fitted with missing values": (lgb(), HOLED, Y),
    "lightgbm that knows no missing values": (lgb(use_missing=False), X, Y),
    "lightgbm forest": (
        lgb(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7), X, Y > 0,
    ),
    "lightgbm forest of values": (
        lgb(LIGHT, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7), D, T,
    ),
    "lightgbm dart": (lgb(boosting_type="dart"), X, Y),
    "lightgbm one against all": (lgb(objective="multiclassova"), X, Y),
    "lightgbm with a sigmoid of its own": (lgb(sigmoid=0.5), X, Y > 1),
    "lightgbm zero as missing": (lgb(zero_as_missing=True), SPARSE, LIT),
    "lightgbm with categories": (lgb(categorical_feature=[0]), CODES, CODED),
    "lightgbm with missing categories": (lgb(categorical_feature=[0]), HOLED_CODES, CODED),
    "lightgbm values": (lgb(LIGHT), D, T),
    "lightgbm poisson": (lgb(LIGHT, objective="poisson"), D, COUNTS),
    "lightgbm tweedie": (lgb(LIGHT, objective="tweedie"), D, T),
    "xgboost": (xgb(), X, Y),
    "xgboost of two classes": (xgb(), X, Y > 1),
    "xgboost fitted with missing values": (xgb(), HOLED, Y),
    "xgboost where zero is missing": (xgb(missing=0.0), SPARSE, LIT),
    "xgboost dart": (xgb(booster="dart", rate_drop=0.5), X, Y),
    "xgboost linear": (xgb(booster="gblinear"), X, Y > 1),
    "xgboost linear of three classes": (xgb(booster="gblinear"), X, Y),
    "xgboost linear values": (xgb(EXTREME, booster="gblinear"), D, T),
    "xgboost forest": (xgb(xgboost.XGBRFClassifier), X, Y),
    "xgboost logistic values": (xgb(EXTREME, objective="reg:logistic"), D, T / 400),
    "xgboost values": (xgb(EXTREME), D, T),
    "xgboost several values": (xgb(EXTREME), D, np.c_[T, -2 * T]),
    "xgboost poisson": (xgb(EXTREME, objective="count:poisson"), D, COUNTS),
    "xgboost base score": (xgb(base_score=0.2), X, Y > 1),
    "xgboost with categories": (
        xgb(enable_categorical=True, feature_types=["c", "q"], max_cat_to_onehot=1), CODES, CODED,
    ),
    "xgboost with one-hot categories": (
        xgb(enable_categorical=True, feature_types=["c", "q"], max_cat_to_onehot=99), CODES, CODED,
    ),
    "xgboost with missing categories": (
        xgb(enable_categorical=True, feature_types=["c", "q"], max_cat_to_onehot=1),
        HOLED_CODES, CODED,
    ),
    "catboost": (cat(), X, Y),
    "catboost of two classes": (cat(), X, Y > 1),
    "catboost with text labels": (cat(), X, WORDS),
    "catboost fitted with missing values": (cat(), HOLED, Y),
    "catboost with missing values at the top": (cat(nan_mode="Max"), HOLED, Y > 0),
    "catboost leaf by leaf": (cat(grow_policy="Lossguide"), X, Y),
    "catboost one against all": (cat(loss_function="MultiClassOneVsAll"), X, Y),
    "catboost values": (cat(CAT), D, T),
    "catboost poisson": (cat(CAT, loss_function="Poisson"), D, COUNTS),
}  # fmt: skip


def fitted(name):
    model, rows, targets = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, targets)
    return model, rows, targets


def library_answers(model, rows):
    """Answers of the library itself, and its labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = np.asarray(getattr(model, "predict_proba", model.predict)(rows))
        labels = np.asarray(model.predict(rows)).ravel()
    return answers.reshape(len(rows), -1), labels


def probed(model, rows):
    """Rows with holes, and rows at every threshold and one step on either side."""
    random = np.random.default_rng(1)
    holes = np.where(random.random(rows.shape) < 0.3, np.nan, rows).astype(np.float32)
    parts = [rows, *([holes] if takes(model, holes) else [])]
    if not is_line(model):
        ensemble = read(model).ensemble
        for step in (-1, 0, 1):
            at = rows[random.integers(len(rows), size=ensemble.nodes)].copy()
            moved = floats.from_ordinals(floats.ordinals(ensemble.threshold) + step)
            at[np.arange(ensemble.nodes), ensemble.feature] = moved
            parts.append(at[takes_all(at, parts[-1])])
    return np.concatenate(parts)


def takes_all(at, rows):
    """Mask of rows without infinities, and with holes only if ``rows`` have some."""
    return ~np.isinf(at).any(axis=1) & (np.isnan(rows).any() | ~np.isnan(at).any(axis=1))


def takes(model, rows):
    """True if the library answers rows with missing values."""
    try:
        library_answers(model, rows)
    except ValueError:
        return False
    return True


def is_line(model):
    return getattr(model, "booster", None) == "gblinear"


@pytest.mark.parametrize("name", MODELS)
def test_both_files_answer_as_the_library(name):
    model, rows, _ = fitted(name)
    table = probed(model, rows)
    expected, labels = library_answers(model, table)
    for answers in tree_builders.answers_of_files(model, rows, table):
        if not hasattr(model, "predict_proba"):
            limit = 2e-6 * np.abs(expected).max()
            np.testing.assert_allclose(answers["value"], expected, rtol=2e-5, atol=limit)
            continue
        np.testing.assert_allclose(answers["probabilities"], expected, atol=2e-6)
        top = np.sort(expected, axis=1)
        sure = top[:, -1] - top[:, -2] > 1e-5
        plain = labels.astype(int) if labels.dtype.kind in "bi" else labels
        assert (answers["label"].astype(str) == plain.astype(str))[sure].all()


@pytest.mark.parametrize("name", [name for name in MODELS if not is_line(MODELS[name][0])])
def test_the_form_itself_answers_as_the_library(name):
    model, rows, _ = fitted(name)
    table = probed(model, rows)
    expected, _ = library_answers(model, table)
    answers = read(model).answers(table).reshape(expected.shape)
    np.testing.assert_allclose(answers, expected, rtol=5e-6, atol=1e-6 * np.abs(expected).max())


class Squares:
    """Says something about rows that is no constant."""

    def fit(self, X, y, sample_weight=None):
        return self

    def predict(self, X):
        return X[:, 0] ** 2


TEXTS = pd.DataFrame({"city": pd.Categorical(["Bern", "東京"] * 75), "x": X[:, 0]})

REFUSED = {
    "boosting that begins with a model": (
        lambda: GRADIENT(n_estimators=3, init=Squares()).fit(D, T), D, "only constants",
    ),
    "lightgbm with linear leaves": (
        lambda: lgb(LIGHT, linear_tree=True).fit(D, T), D, "linear_tree",
    ),
    "lightgbm with an objective of one's own": (
        lambda: lgb(LIGHT, objective=lambda y, p: (p - y, np.ones_like(p))).fit(D, T), D,
        "objective",
    ),
    "lightgbm of square roots": (lambda: lgb(LIGHT, reg_sqrt=True).fit(D, T), D, "sqrt"),
    "xgboost hinge": (lambda: xgb(objective="binary:hinge").fit(X, Y > 0), X, "binary:hinge"),
    "xgboost with leaves of vectors": (
        lambda: xgb(EXTREME, multi_strategy="multi_output_tree").fit(D, np.c_[T, T]), D,
        "one_output_per_tree",
    ),
    "catboost with categories": (
        lambda: cat(cat_features=[0]).fit(TEXTS.astype({"city": str}), Y[:150] > 0),
        TEXTS.astype({"city": str}), "encode them as numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_form_cannot_say_is_refused_with_its_reason(case, tmp_path):
    make, rows, reason = REFUSED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()
    with pytest.raises(ConversionError, match=reason):
        convert(model, rows, name="m", out=tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


PIPED = {
    "lightgbm": lambda: lgb(),
    "xgboost": lambda: xgb(),
    "catboost": lambda: cat(),
    "histogram boosting": lambda: hist(),
    "gradient boosting": lambda: GradientBoostingClassifier(random_state=0, n_estimators=5),
}


@pytest.mark.parametrize("name", PIPED)
def test_columns_keep_their_names_through_a_pipeline(name, tmp_path):
    frame, labels = builders.named_iris()
    some = ColumnTransformer([("some", "passthrough", ["depth", "petal", "sepal"])])
    model = make_pipeline(some, PIPED[name]())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, labels)
        expected = model.predict_proba(frame.astype(np.float32).iloc[:5])
    convert(model, frame, labels, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(tmp_path / "r") as device:
        answers = [device.predict(row).probabilities for row in frame.head(5).to_dict("records")]
    np.testing.assert_allclose(answers, expected, atol=2e-6)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost"])
def test_columns_keep_their_names_without_one(name, tmp_path):
    frame, labels = builders.named_iris()
    model = PIPED[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, labels)
        expected = model.predict_proba(frame.astype(np.float32).iloc[[70]])[0]
    release = convert(model, frame, labels, name="m", out=tmp_path / "r")
    assert [c.name for c in release.manifest.signature.columns] == list(frame.columns)
    with EdgeDevice.offline(tmp_path / "r") as device:
        row = device.predict(frame.iloc[70].to_dict())
    np.testing.assert_allclose(row.probabilities, expected, atol=2e-6)


@pytest.mark.parametrize("kind", [lgb, xgb])
def test_early_stopping_answers_with_the_best_round(kind, tmp_path):
    options = {"n_estimators": 200, "learning_rate": 0.5}
    stop = {} if kind is lgb else {"early_stopping_rounds": 3}
    model = kind(**options, **stop)
    later = {"verbose": False}
    if kind is lgb:
        later = {"callbacks": [lightgbm.early_stopping(3, verbose=False)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[::2], Y[::2], eval_set=[(X[1::2], np.roll(Y[1::2], 5))], **later)
    expected, _ = library_answers(model, X)
    for answers in tree_builders.answers_of_files(model, X, X):
        np.testing.assert_allclose(answers["probabilities"], expected, atol=2e-6)


@pytest.mark.parametrize("make", [lgb, xgb, cat])
def test_a_model_from_a_pickle_converts_as_the_one_in_memory(make, tmp_path):
    model = make().fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    options = {"name": "m", "variants": ["float32"]}
    memory = convert(model, X, Y, out=tmp_path / "a", **options)
    pickled = convert(tmp_path / "model.joblib", X, Y, out=tmp_path / "b", trust=True, **options)
    assert pickled.model_path.read_bytes() == memory.model_path.read_bytes()
