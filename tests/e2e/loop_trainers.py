"""A training on a table of every kind of column, as the loop of a test imports it."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from cloud_hub.runs import TrainingContext

NUMBERS = ["age", "visits"]
TEXTS = ["city", "plan", "zip"]
FLAGS = ["member"]
COLUMNS = [*NUMBERS, *TEXTS, *FLAGS]


def model() -> Any:
    """A pipeline of numbers with missing values, texts, categories and booleans, by name."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
            ("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS),
            ("flags", "passthrough", FLAGS),
        ]
    )
    return make_pipeline(columns, LogisticRegression())


def train(context: TrainingContext) -> Any:
    """Fit fresh and old rows; the old ones also have the date ``seen``, which is no feature."""
    import pandas

    assert context.history is not None
    assert str(context.history.X["seen"].dtype).startswith("datetime64")
    X = pandas.concat([context.fresh.X[COLUMNS], context.history.X[COLUMNS]])
    X[TEXTS] = X[TEXTS].astype(object).fillna("?")
    return model().fit(X, [*context.fresh.y, *context.history.y])
