"""Support vector machines in float64, for where skl2onnx's float32 operator is too coarse."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel
from converters.lowering import registry, skl2onnx_fallback
from converters.lowering.graph import DOUBLE, INT64, Graph
from converters.lowering.maths import argmax, doubles, f32, f64, kernel, repeat_row, single
from converters.lowering.registry import labels, lowers
from converters.lowering.table import Table

if TYPE_CHECKING:
    from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM


def _grams(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the kernel between rows and support vectors, float64 [N, vectors]."""
    if callable(estimator.kernel) or estimator.kernel == "precomputed":
        raise UnsupportedModel(
            f"{type(estimator).__name__}: a kernel that is a function cannot be converted"
        )
    parameters = {"gamma": estimator._gamma, "degree": estimator.degree, "coef0": estimator.coef0}
    x = doubles(graph, rows)
    return kernel(graph, x, estimator.support_vectors_, estimator.kernel, parameters)


def _one_sum(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the one decision value or value of each row, float64 [N, 1]."""
    dual = np.ascontiguousarray(f64(estimator.dual_coef_).T)
    sums = graph.op("MatMul", _grams(estimator, graph, rows), dual)
    return graph.op("Add", sums, f64(estimator.intercept_))


@lowers("predict", "SVR", "NuSVR")
def _lower_values(estimator: SVR | NuSVR, graph: Graph, rows: Table) -> str:
    if len(estimator.support_vectors_) == 0:  # all errors were small enough: a constant
        return repeat_row(graph, rows, f32(np.reshape(estimator.intercept_, (1, 1))))
    if not graph.faithful:
        return skl2onnx_fallback.predict(estimator, graph, rows)
    return single(graph, _one_sum(estimator, graph, rows))


@lowers("decision_function", "OneClassSVM")
def _lower_outlier_decision(estimator: OneClassSVM, graph: Graph, rows: Table) -> str:
    if not graph.faithful:
        return skl2onnx_fallback.decision(estimator, graph, rows)
    return single(graph, _one_sum(estimator, graph, rows))


@lowers("predict", "OneClassSVM")
def _lower_outlier_labels(estimator: OneClassSVM, graph: Graph, rows: Table) -> str:
    if not graph.faithful:
        return skl2onnx_fallback.predict(estimator, graph, rows)
    inside = graph.op("Greater", _one_sum(estimator, graph, rows), f64(0.0))
    return registry.flat(graph, graph.op("Where", inside, 1, -1))


def _pair_sums(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return decision values for each pair of classes, above zero for the first: [N, pairs]."""
    ends = np.cumsum(estimator.n_support_)
    parts = [slice(end - count, end) for end, count in zip(ends, estimator.n_support_, strict=True)]
    pairs = list(itertools.combinations(range(len(ends)), 2))
    dual: NDArray[np.float64] = np.zeros((int(ends[-1]), len(pairs)))
    for column, (i, j) in enumerate(pairs):
        dual[parts[i], column] = estimator.dual_coef_[j - 1, parts[i]]
        dual[parts[j], column] = estimator.dual_coef_[i, parts[j]]
    sums = graph.op("MatMul", _grams(estimator, graph, rows), dual)
    return graph.op("Add", sums, f64(estimator.intercept_))


def _votes(graph: Graph, sums: str, classes: int) -> tuple[str, str]:
    """Return the votes of the pairs and the sums of their decision values, float64 [N, classes]."""
    pairs = list(itertools.combinations(range(classes), 2))
    first, second = np.zeros((2, len(pairs), classes))
    for k, (i, j) in enumerate(pairs):
        first[k, i], second[k, j] = 1.0, 1.0
    lost = graph.cast(graph.op("Less", sums, f64(0.0)), DOUBLE)
    won = graph.op("Sub", f64(1.0), lost)
    votes = graph.op("Add", graph.op("MatMul", won, first), graph.op("MatMul", lost, second))
    return votes, graph.op("MatMul", sums, first - second)


@lowers("decision_function", "SVC", "NuSVC")
def _lower_decision(estimator: SVC | NuSVC, graph: Graph, rows: Table) -> str:
    """Return votes, and a share below a third of a vote that breaks ties, as scikit-learn does."""
    classes = len(estimator.classes_)
    if not graph.faithful or (classes > 2 and estimator.decision_function_shape != "ovr"):
        return skl2onnx_fallback.decision(estimator, graph, rows)
    if classes == 2:
        return single(graph, _one_sum(estimator, graph, rows))
    votes, sums = _votes(graph, _pair_sums(estimator, graph, rows), classes)
    size = graph.op("Mul", graph.op("Add", graph.op("Abs", sums), f64(1.0)), f64(3.0))
    return single(graph, graph.op("Add", votes, graph.op("Div", sums, size)))


@lowers("predict", "SVC", "NuSVC")
def _lower_labels(estimator: SVC | NuSVC, graph: Graph, rows: Table) -> str:
    classes = len(estimator.classes_)
    if not graph.faithful or estimator.break_ties:
        return skl2onnx_fallback.predict(estimator, graph, rows)
    if classes == 2:
        above = graph.op("Greater", _one_sum(estimator, graph, rows), f64(0.0))
        return labels(graph, registry.flat(graph, graph.cast(above, INT64)), estimator.classes_)
    votes, _ = _votes(graph, _pair_sums(estimator, graph, rows), classes)
    return labels(graph, argmax(graph, votes), estimator.classes_)
