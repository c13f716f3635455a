"""K nearest neighbours: distances to all training rows in float64, and the smallest of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import DOUBLE, Graph
from converters.lowering.maths import (
    apart_distances,
    argmax,
    distances,
    doubles,
    f64,
    single,
    total,
)
from converters.lowering.registry import labels, lowers
from converters.lowering.table import Table

if TYPE_CHECKING:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

_PLAIN: Final = {1: "manhattan", 2: "euclidean"}
MOST_DIFFERENCES: Final = 1 << 18
"""Differences to all training rows that are held for each row, at most: 2 MB."""


def _nearest(estimator: Any, graph: Graph, rows: Table) -> tuple[str, str]:
    """Return distances to the nearest training rows and their places, [N, neighbours]."""
    metric = estimator.effective_metric_
    if metric == "minkowski":
        power = estimator.effective_metric_params_.get("p", estimator.p)
        if power not in _PLAIN:
            raise UnsupportedModel(f"{type(estimator).__name__}: only p=1 and p=2 can be converted")
        metric = _PLAIN[power]
    points = estimator._fit_X
    if hasattr(points, "toarray"):
        points = points.toarray()
    x = doubles(graph, rows)
    # A tree subtracts coordinates, so equal rows are at exactly 0; brute force multiplies matrices.
    by_tree = estimator._fit_method != "brute" and points.size <= MOST_DIFFERENCES
    far = (apart_distances if by_tree else distances)(graph, x, points, metric)
    near, index = graph.ops(
        "TopK",
        far,
        np.array([estimator.n_neighbors], np.int64),
        outputs=2,
        axis=1,
        largest=0,
    )
    return near, index


def _weights(estimator: Any, graph: Graph, near: str) -> str:
    """Return the weight of each neighbour, float64 [N, neighbours]."""
    if estimator.weights in ("uniform", None):
        return graph.op("Add", graph.op("Mul", near, f64(0.0)), f64(1.0))
    if estimator.weights != "distance":
        raise UnsupportedModel(
            f"{type(estimator).__name__}: weights by a function cannot be converted"
        )
    same = graph.op("Equal", near, f64(0.0))
    found = graph.op("ReduceMax", graph.cast(same, DOUBLE), np.array([1], np.int64), keepdims=1)
    safe = graph.op("Where", same, f64(1.0), near)
    # Where a training row is the row itself, it alone counts.
    return graph.op(
        "Where",
        graph.op("Greater", found, f64(0.0)),
        graph.cast(same, DOUBLE),
        graph.op("Reciprocal", safe),
    )


def _votes(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the weight of each class among the neighbours, float64 [N, classes]."""
    targets = np.asarray(estimator._y)
    if isinstance(estimator.classes_, list):
        raise UnsupportedModel(f"{type(estimator).__name__}: several targets cannot be converted")
    near, index = _nearest(estimator, graph, rows)
    weights = graph.op("Unsqueeze", _weights(estimator, graph, near), np.array([2], np.int64))
    member = f64(targets.reshape(-1, 1) == np.arange(len(estimator.classes_)))
    votes = graph.op("Mul", graph.op("Gather", member, index), weights)
    return total(graph, votes, 1, keep=False)


@lowers("predict_proba", "KNeighborsClassifier")
def _lower_shares(estimator: KNeighborsClassifier, graph: Graph, rows: Table) -> str:
    votes = _votes(estimator, graph, rows)
    return single(graph, graph.op("Div", votes, total(graph, votes)))


@lowers("predict", "KNeighborsClassifier")
def _lower_labels(estimator: KNeighborsClassifier, graph: Graph, rows: Table) -> str:
    return labels(graph, argmax(graph, _votes(estimator, graph, rows)), estimator.classes_)


@lowers("predict", "KNeighborsRegressor")
def _lower_values(estimator: KNeighborsRegressor, graph: Graph, rows: Table) -> str:
    near, index = _nearest(estimator, graph, rows)
    weights = graph.op("Unsqueeze", _weights(estimator, graph, near), np.array([2], np.int64))
    targets = f64(estimator._y).reshape(len(estimator._y), -1)
    sums = total(graph, graph.op("Mul", graph.op("Gather", targets, index), weights), 1, keep=False)
    return single(graph, graph.op("Div", sums, total(graph, weights, 1, keep=False)))
