"""Voting and stacking: models whose inputs are the answers of other models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from converters.lowering import registry
from converters.lowering.graph import Graph
from converters.lowering.maths import (
    argmax,
    weighted_mean,
)
from converters.lowering.registry import as_float, column, labels, lowers
from converters.lowering.table import Table, floats, pick, side_by_side

if TYPE_CHECKING:
    from sklearn.ensemble import (
        BaggingClassifier,
        BaggingRegressor,
        StackingClassifier,
        StackingRegressor,
        VotingClassifier,
        VotingRegressor,
    )


@lowers("predict_proba", "BaggingClassifier")
def _lower_bagged_probabilities(estimator: BaggingClassifier, graph: Graph, rows: Table) -> str:
    """Average the probabilities of the inner models, or their votes if they have none."""
    count = len(estimator.classes_)
    parts = []
    for inner, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        seen = pick(graph, rows, list(features))
        if hasattr(inner, "predict_proba"):
            shares = registry.probabilities(inner, graph, seen)
            parts.append(_spread_over(graph, shares, inner.classes_, count))
        else:
            parts.append(_one_hot(graph, registry.predict(inner, graph, seen), count))
    return weighted_mean(graph, parts, None)


def _spread_over(graph: Graph, shares: str, known: Any, count: int) -> str:
    """Return the columns of the ``known`` classes among all, [N, count]; zeros elsewhere."""
    places = np.asarray(known).astype(np.int64)
    if len(places) == count:
        return shares
    return graph.op("MatMul", shares, np.eye(count, dtype=np.float32)[places])


@lowers("predict", "BaggingClassifier")
def _lower_bagged_labels(estimator: BaggingClassifier, graph: Graph, rows: Table) -> str:
    shares = _lower_bagged_probabilities(estimator, graph, rows)
    return labels(graph, argmax(graph, shares), estimator.classes_)


@lowers("predict", "BaggingRegressor")
def _lower_bagged_values(estimator: BaggingRegressor, graph: Graph, rows: Table) -> str:
    pairs = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    parts = [registry.predict(inner, graph, pick(graph, rows, list(f))) for inner, f in pairs]
    return weighted_mean(graph, parts, None)


@lowers("predict_proba", "VotingClassifier")
def _lower_soft_voting(estimator: VotingClassifier, graph: Graph, rows: Table) -> str:
    parts = [registry.probabilities(inner, graph, rows) for inner in estimator.estimators_]
    return weighted_mean(graph, parts, estimator._weights_not_none)


@lowers("predict", "VotingClassifier")
def _lower_voting_labels(estimator: VotingClassifier, graph: Graph, rows: Table) -> str:
    if estimator.voting == "soft":
        scores = _lower_soft_voting(estimator, graph, rows)
    else:
        votes = [
            _one_hot(graph, registry.predict(inner, graph, rows), len(estimator.classes_))
            for inner in estimator.estimators_
        ]
        scores = weighted_mean(graph, votes, estimator._weights_not_none)
    return labels(graph, argmax(graph, scores), estimator.classes_)


def _one_hot(graph: Graph, index: str, classes: int) -> str:
    """Return class numbers [N] as one-hot rows, float32 [N, classes]."""
    same = graph.op("Equal", column(graph, index), np.arange(classes, dtype=np.int64)[None])
    return as_float(graph, same)


@lowers("predict", "VotingRegressor")
def _lower_voting_values(estimator: VotingRegressor, graph: Graph, rows: Table) -> str:
    parts = [registry.predict(inner, graph, rows) for inner in estimator.estimators_]
    return weighted_mean(graph, parts, estimator._weights_not_none)


def _stacked_features(estimator: Any, graph: Graph, rows: Table) -> Table:
    """Return the columns that the last estimator of a stack sees."""
    classes = len(getattr(estimator, "classes_", ()))
    parts = []
    for inner, method in zip(estimator.estimators_, estimator.stack_method_, strict=True):
        if method == "predict_proba":
            output = registry.probabilities(inner, graph, rows)
            if classes == 2:  # the second says it all; scikit-learn drops the first
                output = graph.op("Gather", output, np.array([1], np.int64), axis=1)
            parts.append(Table.of(output, 1 if classes == 2 else classes))
        elif method == "decision_function":
            output = registry.decision(inner, graph, rows)
            parts.append(Table.of(output, 1 if classes == 2 else classes))
        else:
            output = registry.predict(inner, graph, rows)
            output = as_float(graph, column(graph, output)) if classes else output
            parts.append(Table.of(output, 1))
    if estimator.passthrough:
        parts.append(rows)
    joined = side_by_side(parts)
    return Table.of(floats(graph, joined), joined.width) if joined.numeric else joined


@lowers("predict_proba", "StackingClassifier")
def _lower_stacking_probabilities(estimator: StackingClassifier, graph: Graph, rows: Table) -> str:
    return registry.probabilities(
        estimator.final_estimator_, graph, _stacked_features(estimator, graph, rows)
    )


@lowers("decision_function", "StackingClassifier")
def _lower_stacking_decision(estimator: StackingClassifier, graph: Graph, rows: Table) -> str:
    return registry.decision(
        estimator.final_estimator_, graph, _stacked_features(estimator, graph, rows)
    )


@lowers("predict", "StackingClassifier")
def _lower_stacking_labels(estimator: StackingClassifier, graph: Graph, rows: Table) -> str:
    index = registry.predict(
        estimator.final_estimator_, graph, _stacked_features(estimator, graph, rows)
    )
    return labels(graph, index, estimator.classes_)


@lowers("predict", "StackingRegressor")
def _lower_stacking_values(estimator: StackingRegressor, graph: Graph, rows: Table) -> str:
    return registry.predict(
        estimator.final_estimator_, graph, _stacked_features(estimator, graph, rows)
    )
