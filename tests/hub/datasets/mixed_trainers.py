"""A training on numbers, texts and categories, as runs of tests import it."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from cloud_hub.runs import TrainingContext


def model() -> Any:
    """A pipeline of columns by name."""
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "visits"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression())


def train(context: TrainingContext) -> Any:
    """Fit fresh and old rows, which are DataFrames with the columns of the parent."""
    import pandas

    assert context.history is not None
    X = pandas.concat([context.fresh.X, context.history.X])
    y = [*context.fresh.y, *context.history.y]
    assert list(X.columns) == ["age", "visits", "city"]
    assert context.datasets == ("fresh@1", "train@1")
    return model().fit(X, y)
