"""Models that give the same answer to every row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import Graph
from converters.lowering.maths import (
    argmax,
    complement,
    f32,
    repeat_row,
)
from converters.lowering.registry import labels, lowers
from converters.lowering.table import Table

if TYPE_CHECKING:
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.multiclass import (
        _ConstantPredictor,
    )


@lowers("predict", "DummyRegressor")
def _lower_dummy_values(estimator: DummyRegressor, graph: Graph, rows: Table) -> str:
    return repeat_row(graph, rows, f32(estimator.constant_))


@lowers("predict_proba", "DummyClassifier")
def _lower_dummy_probabilities(estimator: DummyClassifier, graph: Graph, rows: Table) -> str:
    if estimator.strategy not in ("most_frequent", "prior", "constant"):
        raise UnsupportedModel(f"DummyClassifier: {estimator.strategy!r} answers at random")
    shares = estimator.predict_proba(np.zeros((1, 1)))
    return repeat_row(graph, rows, f32(shares))


@lowers("predict", "DummyClassifier")
def _lower_dummy_labels(estimator: DummyClassifier, graph: Graph, rows: Table) -> str:
    shares = _lower_dummy_probabilities(estimator, graph, rows)
    return labels(graph, argmax(graph, shares), estimator.classes_)


@lowers("decision_function", "_ConstantPredictor")
def _lower_constant_predictor_decision(
    estimator: _ConstantPredictor, graph: Graph, rows: Table
) -> str:
    """Write the stand-in for a class that every training row had, or none had."""
    return repeat_row(graph, rows, f32(np.reshape(estimator.y_, (1, 1))))


@lowers("predict_proba", "_ConstantPredictor")
def _lower_constant_predictor_probabilities(
    estimator: _ConstantPredictor, graph: Graph, rows: Table
) -> str:
    return complement(graph, _lower_constant_predictor_decision(estimator, graph, rows))
