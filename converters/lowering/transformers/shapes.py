"""Transformers of numbers that are written in float64: powers, norms, products, projections.

Before smooth models skl2onnx's float32 nodes are good enough and faster; before trees and
neighbours, or where float32 turned out too coarse, these are used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.lowering import skl2onnx_fallback
from converters.lowering.graph import Graph
from converters.lowering.maths import concat, doubles, f64, total
from converters.lowering.registry import as_float, lowers
from converters.lowering.table import Table, common_kind, joined, outcome, small_integers
from converters.lowering.transformers.functions import apply_ufunc

if TYPE_CHECKING:
    from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
    from sklearn.preprocessing import Binarizer, Normalizer, PolynomialFeatures, PowerTransformer

Write = Callable[[Any, Graph, Table], Table]


def where_exact(name: str, *others: str) -> Callable[[Write], Write]:
    """Register a lowering of ``transform`` that skl2onnx stands in for unless it must be exact."""

    def register(write: Write) -> Write:
        def lower(estimator: Any, graph: Graph, rows: Table) -> Table:
            if graph.faithful and rows.numeric:
                return write(estimator, graph, rows)
            return skl2onnx_fallback.transform(estimator, graph, rows)

        lowers("transform", name, *others)(lower)
        return write

    return register


@where_exact("Binarizer")
def _lower_binarizer(estimator: Binarizer, graph: Graph, rows: Table) -> Table:
    kind = common_kind(rows)
    threshold = np.array(estimator.threshold, np.float32 if kind == 1 else np.float64)
    above = graph.op("Greater", joined(graph, rows, kind), threshold)
    return small_integers(graph, as_float(graph, above), rows.width)


@where_exact("Normalizer")
def _lower_normalizer(estimator: Normalizer, graph: Graph, rows: Table) -> Table:
    x = doubles(graph, rows)
    size = graph.op("Abs", x)
    if estimator.norm == "max":
        norm = graph.op("ReduceMax", size, np.array([1], np.int64), keepdims=1)
    elif estimator.norm == "l1":
        norm = total(graph, size)
    else:
        norm = graph.op("Sqrt", total(graph, graph.op("Mul", x, x)))
    safe = graph.op("Where", graph.op("Equal", norm, f64(0.0)), f64(1.0), norm)
    return outcome(graph, rows, graph.op("Div", x, safe), rows.width)


@where_exact("PolynomialFeatures")
def _lower_polynomial_features(estimator: PolynomialFeatures, graph: Graph, rows: Table) -> Table:
    """Multiply columns in scikit-learn's order, so that products of three round alike."""
    x = doubles(graph, rows)
    factors = [np.repeat(np.arange(rows.width), powers).tolist() for powers in estimator.powers_]
    parts = []
    for degree, terms in itertools.groupby(factors, len):
        columns = np.array(list(terms), np.int64)
        if degree == 0:
            ones = graph.op("Mul", graph.op("Gather", x, np.array([0]), axis=1), f64(0.0))
            parts.append(graph.op("Add", ones, f64(np.ones((1, len(columns))))))
            continue
        product = graph.op("Gather", x, columns[:, -1], axis=1)
        for place in range(degree - 2, -1, -1):
            other = graph.op("Gather", x, columns[:, place], axis=1)
            product = graph.op("Mul", product, other)
        parts.append(product)
    return outcome(graph, rows, concat(graph, parts), len(factors))


@where_exact("PCA", "IncrementalPCA")
def _lower_pca(estimator: PCA | IncrementalPCA, graph: Graph, rows: Table) -> Table:
    weights = f64(estimator.components_.T)
    scores = graph.op("MatMul", doubles(graph, rows), np.ascontiguousarray(weights))
    if estimator.mean_ is not None:
        scores = graph.op("Sub", scores, (f64(estimator.mean_)[None] @ weights))
    if estimator.whiten:
        scale = np.sqrt(f64(estimator.explained_variance_))
        least = np.finfo(estimator.explained_variance_.dtype).eps
        scores = graph.op("Div", scores, np.maximum(scale, least)[None])
    return outcome(graph, rows, scores, weights.shape[1])


@where_exact("TruncatedSVD")
def _lower_truncated_svd(estimator: TruncatedSVD, graph: Graph, rows: Table) -> Table:
    weights = np.ascontiguousarray(f64(estimator.components_.T))
    scores = graph.op("MatMul", doubles(graph, rows), weights)
    return outcome(graph, rows, scores, weights.shape[1])


@where_exact("PowerTransformer")
def _lower_power_transformer(estimator: PowerTransformer, graph: Graph, rows: Table) -> Table:
    x, powers = doubles(graph, rows), f64(estimator.lambdas_)
    write = _box_cox if estimator.method == "box-cox" else _yeo_johnson
    return outcome(
        graph, rows, _standardised(estimator, graph, write(graph, x, powers)), rows.width
    )


def _standardised(estimator: Any, graph: Graph, x: str) -> str:
    if not estimator.standardize:
        return x
    scaler = estimator._scaler
    centred = graph.op("Sub", x, f64(scaler.mean_)[None])
    return graph.op("Div", centred, f64(scaler.scale_)[None])


def _box_cox(graph: Graph, x: str, powers: NDArray[np.float64]) -> str:
    return _power_or_log(graph, x, powers)


def _power_or_log(graph: Graph, x: str, powers: NDArray[np.float64]) -> str:
    """Return (x ** power - 1) / power of each column, log(x) where the power is zero."""
    flat = np.abs(powers) < np.finfo(np.float64).eps
    safe = np.where(flat, 1.0, powers)
    raised = graph.op("Pow", x, safe[None])
    curve = graph.op("Div", graph.op("Sub", raised, f64(1.0)), safe[None])
    return graph.op("Where", flat[None], graph.op("Log", x), curve) if flat.any() else curve


def _yeo_johnson(graph: Graph, x: str, powers: NDArray[np.float64]) -> str:
    """Apply Box and Cox's curve to 1 + x, mirrored with 2 - power below zero."""
    above = graph.op("Add", graph.op("Max", x, f64(0.0)), f64(1.0))
    below = graph.op("Sub", f64(1.0), graph.op("Min", x, f64(0.0)))
    positive = _power_or_log(graph, above, powers)
    negative = graph.op("Neg", _power_or_log(graph, below, 2.0 - powers))
    curve = graph.op("Where", graph.op("GreaterOrEqual", x, f64(0.0)), positive, negative)
    # Max and Min may swallow what is missing.
    return graph.op("Where", graph.op("IsNaN", x), x, curve)


def inverse_power(estimator: PowerTransformer, graph: Graph, x: str) -> str:
    """Write ``estimator.inverse_transform``.

    Args:
        estimator: fitted.
        graph: the graph to write into.
        x: float64 [N, k].
    """
    if estimator.standardize:
        scaler = estimator._scaler
        x = graph.op("Add", graph.op("Mul", x, f64(scaler.scale_)[None]), f64(scaler.mean_)[None])
    powers = f64(estimator.lambdas_)
    if estimator.method == "box-cox":
        return _unpower(graph, x, powers)
    above = graph.op("Sub", _unpower(graph, graph.op("Max", x, f64(0.0)), powers), f64(1.0))
    mirrored = graph.op("Neg", graph.op("Min", x, f64(0.0)))
    below = graph.op("Sub", f64(1.0), _unpower(graph, mirrored, 2.0 - powers))
    return graph.op("Where", graph.op("GreaterOrEqual", x, f64(0.0)), above, below)


def _unpower(graph: Graph, x: str, powers: NDArray[np.float64]) -> str:
    """Return (x * power + 1) ** (1 / power) of each column, exp(x) where the power is zero."""
    flat = np.abs(powers) < np.finfo(np.float64).eps
    safe = np.where(flat, 1.0, powers)
    base = graph.op("Add", graph.op("Mul", x, safe[None]), f64(1.0))
    curve = graph.op("Pow", base, (1.0 / safe)[None])
    return (
        graph.op("Where", flat[None], apply_ufunc(graph, np.exp, x), curve) if flat.any() else curve
    )
