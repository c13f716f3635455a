"""Estimators as a source: rows that are checked, tensors for columns, targets that fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from converters import ConversionError
from converters.estimators.fitted_estimator import inspect_estimator
from converters.sources.estimator_source import CHECK_ROWS, EstimatorSource
from tests.converters import builders


@pytest.fixture(scope="module")
def many():
    X = np.random.default_rng(0).normal(size=(12_000, 2))
    y = (X[:, 0] > 0).astype(int)
    return LogisticRegression().fit(X, y), X, y


def test_answers_are_checked_on_some_of_many_rows_with_their_groups(many):
    model, X, y = many
    halves = np.where(np.arange(len(X)) < 6_000, "first", "second")
    source = EstimatorSource(inspect_estimator(model), X, y, groups={"half": halves})
    assert source.rows == CHECK_ROWS
    (groups,) = source.groups
    assert {name: len(rows) for name, rows in groups.each()} == {"first": 5_000, "second": 5_000}
    answers = source._model.answers(source._check)
    assert len(answers["label"]) == CHECK_ROWS


def test_quantizers_learn_from_single_rows_spread_over_all(many):
    model, X, y = many
    feeds = EstimatorSource(inspect_estimator(model), X, y).calibration()
    assert {feed["X"].shape for feed in feeds} == {(1, 2)}
    np.testing.assert_array_equal(feeds[-1]["X"][0], X[-1].astype(np.float32))


INPUTS = {"names": ["X"], "text column": ["price", "pieces", "city"]}


@pytest.mark.parametrize("name", INPUTS)
def test_columns_share_a_tensor_unless_one_holds_texts(name):
    X, y = builders.data_of(name)
    source = EstimatorSource(inspect_estimator(builders.model(name)), X, y)
    assert [spec.name for spec in source.signature().inputs] == INPUTS[name]


TARGETS = {
    "a column of labels": ("voting", builders.iris()[1][:, None], True),
    "a table of one column": ("voting", pd.DataFrame(builders.iris()[1]), True),
    "labels one-hot": ("voting", np.eye(3)[builders.iris()[1]], False),
    "values of two outputs for a model of one": ("ridge", np.ones((442, 2)), False),
    "values of one output for a model of two": ("several targets", np.ones(442), False),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets_have_as_many_columns_as_the_answers(case):
    name, targets, fits = TARGETS[case]
    X, _ = builders.data_of(name)
    source = EstimatorSource(inspect_estimator(builders.model(name)), X, targets)
    if fits:
        assert source.reference(None).score is not None
        return
    with pytest.raises(ConversionError, match="y: expected"):
        source.reference(None)


def test_documents_with_several_targets_are_not_taken_for_swapped():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline

    texts = ["red wine", "white wine", "red beer"] * 5
    values = np.arange(30.0).reshape(15, 2)
    model = make_pipeline(CountVectorizer(), Ridge()).fit(texts, values)
    assert EstimatorSource(inspect_estimator(model), texts, values).rows == 15
