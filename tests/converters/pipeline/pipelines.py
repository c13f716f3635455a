"""Twelve pipelines as people build them: numbers, categories, documents, holes in all of them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import ComplementNB, GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

ROWS, HELD = 900, 300
NUMBERS, TEXTS = ["age", "income", "visits"], ["city", "plan"]
WORDS = [
    "great",
    "Grüße",
    "slow",
    "delivery",
    "ÄRGER",
    "東京",
    "late",
    "re-use",
    "don't",
    "x",
    "42",
]


@functools.cache
def people() -> pd.DataFrame:
    """Customers: three numbers with holes, an integer, two categories with holes, a document."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "age": np.abs(random.normal(45, 15, ROWS)).round(1),
            "income": random.lognormal(10, 1, ROWS),
            "visits": random.integers(0, 30, ROWS),
            "city": random.choice(
                ["Bern", "Zürich", "Genève", "東京"], ROWS, p=[0.5, 0.3, 0.15, 0.05]
            ),
            "plan": random.choice(["basic", "plus", "pro"], ROWS),
            "note": [" ".join(random.choice(WORDS, random.integers(0, 8))) for _ in range(ROWS)],
        }
    )
    for name, share in (("age", 0.1), ("income", 0.05), ("city", 0.08)):
        frame.loc[random.random(ROWS) < share, name] = np.nan
    return frame


@functools.cache
def stays() -> NDArray[Any]:
    """Whether a customer stays: a label of text."""
    frame = people()
    pull = (
        (frame["age"].fillna(45) - 45) / 15
        + (frame["city"] == "Zürich") * 1.5
        - frame["note"].str.contains("slow") * 1.2
        + (frame["plan"] == "pro") * 0.8
    )
    noise = np.random.default_rng(1).logistic(0, 0.5, ROWS)
    return np.where(pull + noise > 0.3, "stays", "leaves")


@functools.cache
def spends() -> NDArray[Any]:
    """What a customer spends: positive numbers."""
    frame = people()
    base = np.log1p(frame["income"].fillna(20_000)) / 3 + (frame["plan"] == "pro") * 0.7
    return np.exp(base + np.random.default_rng(2).normal(0, 0.1, ROWS))


def filled() -> Pipeline:
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler())


def known() -> Pipeline:
    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"),
        OneHotEncoder(handle_unknown="ignore"),
    )


def columns(*more: Any, numbers: Any = None, texts: Any = None) -> ColumnTransformer:
    return ColumnTransformer(
        [("numbers", numbers or filled(), NUMBERS), ("texts", texts or known(), TEXTS), *more]
    )


def boosted(library: str) -> Any:
    if library == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(n_estimators=20, num_leaves=7, verbose=-1, n_jobs=1)
    if library == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1)
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        iterations=20, depth=4, verbose=0, thread_count=1, allow_writing_files=False
    )


def ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def stacked() -> StackingClassifier:
    inner = [
        ("linear", LogisticRegression(max_iter=500)),
        ("forest", RandomForestClassifier(12, max_depth=6, random_state=0)),
    ]
    return StackingClassifier(inner, LogisticRegression(), cv=3)


def voting() -> VotingClassifier:
    inner = [
        ("linear", LogisticRegression(max_iter=500)),
        ("bayes", GaussianNB()),
        ("boosting", HistGradientBoostingClassifier(max_iter=15, random_state=0)),
    ]
    return VotingClassifier(inner, voting="soft", weights=[2, 1, 1])


def spline_price() -> TransformedTargetRegressor:
    curve = make_pipeline(SimpleImputer(), SplineTransformer(5))
    table = columns(
        ("bins", make_pipeline(SimpleImputer(), KBinsDiscretizer(4, subsample=None)), ["age"]),
        numbers=curve,
        texts=TargetEncoder(random_state=0),
    )
    return TransformedTargetRegressor(
        make_pipeline(table, Ridge()), func=np.log1p, inverse_func=np.expm1
    )


def by_type() -> ColumnTransformer:
    flags = make_pipeline(SimpleImputer(add_indicator=True), RobustScaler())
    return ColumnTransformer(
        [
            ("floats", flags, make_column_selector(dtype_include="float")),
            ("whole", PolynomialFeatures(2), ["visits"]),
            ("plan", OneHotEncoder(drop="first", min_frequency=20), ["plan"]),
        ]
    )


def words_alone() -> Pipeline:
    counts = CountVectorizer(ngram_range=(1, 2), min_df=2)
    return make_pipeline(
        ColumnTransformer([("note", counts, "note")]), SelectKBest(chi2, k=30), ComplementNB()
    )


PIPELINES: dict[str, tuple[Callable[[], Any], Callable[[], NDArray[Any]]]] = {
    "imputed and encoded, linear": (
        lambda: make_pipeline(columns(), LogisticRegression(max_iter=500)),
        stays,
    ),
    "with TF-IDF of a document": (
        lambda: make_pipeline(
            columns(("note", TfidfVectorizer(sublinear_tf=True), "note")),
            LogisticRegression(max_iter=500),
        ),
        stays,
    ),
    "counts of word pairs, selected, naive Bayes": (words_alone, stays),
    "forest, isotonic calibration": (
        lambda: make_pipeline(
            columns(),
            CalibratedClassifierCV(
                RandomForestClassifier(15, random_state=0), method="isotonic", cv=3
            ),
        ),
        stays,
    ),
    "voting of three": (lambda: make_pipeline(columns(), voting()), stays),
    "stacking of two": (lambda: make_pipeline(columns(), stacked()), stays),
    "boosting of values with holes": (
        lambda: make_pipeline(
            columns(numbers="passthrough", texts=ordinal()),
            HistGradientBoostingRegressor(max_iter=30, random_state=0),
        ),
        spends,
    ),
    "splines, bins and target means, log of the target": (spline_price, spends),
    "columns by type, indicators, tuned threshold": (
        lambda: TunedThresholdClassifierCV(
            make_pipeline(by_type(), LogisticRegression(max_iter=500)), cv=3
        ),
        lambda: (stays() == "stays").astype(int),
    ),
    "LightGBM": (
        lambda: make_pipeline(columns(numbers="passthrough"), boosted("lightgbm")),
        stays,
    ),
    "XGBoost": (
        lambda: make_pipeline(columns(numbers="passthrough"), boosted("xgboost")),
        lambda: (stays() == "stays").astype(int),
    ),
    "CatBoost": (
        lambda: make_pipeline(columns(numbers="passthrough"), boosted("catboost")),
        stays,
    ),
}
MORE: dict[str, tuple[Callable[[], Any], Callable[[], NDArray[Any]]]] = {
    "powers, a network": (
        lambda: make_pipeline(
            columns(numbers=make_pipeline(SimpleImputer(), PowerTransformer(), MinMaxScaler())),
            MLPClassifier((16,), max_iter=150, random_state=0),
        ),
        stays,
    ),
    "two targets": (
        lambda: make_pipeline(
            columns(numbers=make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p))),
            MultiOutputClassifier(LogisticRegression(max_iter=500)),
        ),
        lambda: np.column_stack([stays() == "stays", spends() > 30]).astype(int),
    ),
}


@functools.cache
def fitted(name: str) -> Any:
    """A pipeline of this name, fitted on all but the last rows."""
    make, target = {**PIPELINES, **MORE}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make().fit(people()[:-HELD], target()[:-HELD])


def held(name: str) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Rows and targets that it was not fitted on."""
    target = {**PIPELINES, **MORE}[name][1]
    return people()[-HELD:], target()[-HELD:]
