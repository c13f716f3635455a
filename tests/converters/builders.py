"""Data and fitted models that the converter tests share; each is made once."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

Data = tuple[Any, NDArray[Any]]


@functools.cache
def digits() -> Data:
    X, y = load_digits(return_X_y=True)
    return X, y


@functools.cache
def iris() -> Data:
    X, y = load_iris(return_X_y=True)
    return X, y


@functools.cache
def diabetes() -> Data:
    X, y = load_diabetes(return_X_y=True)
    return X, y


@functools.cache
def holed_iris() -> Data:
    X, y = iris()
    holed = X.copy()
    holed[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    return holed, y


@functools.cache
def measurements() -> pd.DataFrame:
    """Iris as a table with names, all numbers."""
    return pd.DataFrame(iris()[0], columns=["sepal", "width", "petal", "depth"])


@functools.cache
def shop() -> Data:
    """A table with a number, an integer, a text with letters beyond ASCII; the label is text."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "price": random.normal(10, 3, 400),
            "pieces": random.integers(1, 20, 400),
            "city": random.choice(["Bern", "Zürich", "東京"], 400),
        }
    )
    far = (frame["city"] == "東京") | (frame["price"] > 12)
    return frame, np.where(far, "later", "now")


def by_column() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["price", "pieces"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )


def some_columns() -> ColumnTransformer:
    return ColumnTransformer(
        [("scaled", StandardScaler(), ["sepal"]), ("as they are", "passthrough", ["petal"])]
    )


def _fitted(estimator: Any, data: Data, rows: int | None = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the small models here need not converge
        return estimator.fit(data[0][:rows], data[1][:rows])


@functools.cache
def model(name: str) -> Any:
    """A fitted model by name; see :data:`MODELS`."""
    make, data = MODELS[name]
    return _fitted(make(), data(), 1_000)


def data_of(name: str) -> Data:
    """Rows to check ``model(name)`` on."""
    X, y = MODELS[name][1]()
    return (X[1_000:], y[1_000:]) if len(X) > 1_000 else (X, y)


def text_iris() -> Data:
    return iris()[0], np.array(["äh", "b", "c"])[iris()[1]]


def yes_no_iris() -> Data:
    return iris()[0], iris()[1] > 0


def far_diabetes() -> Data:
    return diabetes()[0], diabetes()[1] + 1e6


def two_targets() -> Data:
    X, y = diabetes()
    return X, np.column_stack([y, -2 * y])


def named_iris() -> Data:
    return measurements(), iris()[1]


def mixed_numbers() -> Data:
    frame = measurements()
    return frame.assign(width=(frame["width"] * 10).astype(int)), iris()[1]


MODELS: dict[str, tuple[Any, Any]] = {
    "logistic regression": (lambda: LogisticRegression(max_iter=100), digits),
    "scaler and MLP": (
        lambda: make_pipeline(
            StandardScaler(), MLPClassifier((128, 64), max_iter=40, random_state=0)
        ),
        digits,
    ),
    "forest": (lambda: RandomForestClassifier(15, random_state=0), digits),
    "histogram boosting": (lambda: HistGradientBoostingClassifier(max_iter=10), iris),
    "text labels": (LogisticRegression, text_iris),
    "boolean labels": (LogisticRegression, yes_no_iris),
    "voting": (
        lambda: VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
        iris,
    ),
    "no probabilities": (lambda: LinearSVC(random_state=0), iris),
    "names": (LogisticRegression, named_iris),
    "integers beside fractions": (
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        mixed_numbers,
    ),
    "columns by name": (
        lambda: make_pipeline(some_columns(), LogisticRegression()),
        named_iris,
    ),
    "text column": (lambda: make_pipeline(by_column(), LogisticRegression()), shop),
    "imputer": (lambda: make_pipeline(SimpleImputer(), LogisticRegression()), holed_iris),
    "boosting with missing values": (
        lambda: HistGradientBoostingClassifier(max_iter=10),
        holed_iris,
    ),
    "ridge": (Ridge, diabetes),
    "values far from zero": (Ridge, far_diabetes),
    "several targets": (Ridge, two_targets),
    "forest regressor": (lambda: RandomForestRegressor(10, random_state=0), diabetes),
    "boosting regressor": (lambda: HistGradientBoostingRegressor(max_iter=20), diabetes),
    "MLP regressor": (
        lambda: make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), max_iter=50, random_state=0)
        ),
        diabetes,
    ),
}
