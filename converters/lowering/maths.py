"""Building blocks that many lowerings share.

Arguments named ``x`` are names of tensors, ``points``, ``weights`` and ``edges`` are constants.
Distances, kernels and interpolation compute in float64: differences of nearly equal numbers are
where float32 would give another answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel
from converters.lowering.graph import DOUBLE, FLOAT, INT64, Graph
from converters.lowering.table import Table, joined

AXIS_1: Final = np.array([1], np.int64)


def doubles(graph: Graph, rows: Table) -> str:
    """Return all columns in one float64 tensor [N, width]."""
    return joined(graph, rows, DOUBLE)


def f64(value: Any) -> NDArray[np.float64]:
    """Return a float64 constant; a sparse matrix of training rows is filled."""
    filled = value.toarray() if hasattr(value, "toarray") else value
    return np.asarray(filled, dtype=np.float64)


def f32(value: Any) -> NDArray[np.float32]:
    """Return a float32 constant."""
    return np.asarray(value, dtype=np.float32)


def single(graph: Graph, x: str) -> str:
    """Return ``x`` as float32."""
    return graph.cast(x, FLOAT)


def affine(graph: Graph, x: str, weights: NDArray[Any], offset: NDArray[Any] | None) -> str:
    """Return ``x @ weights + offset`` in float32, [N, m].

    Args:
        graph: the graph to write into.
        x: float32 [N, k].
        weights: [k, m].
        offset: [m] or one number; ``None`` adds nothing.
    """
    bias = [] if offset is None else [f32(np.broadcast_to(offset, weights.shape[1:]))]
    return graph.op("Gemm", x, f32(weights), *bias)


def exact_scores(
    graph: Graph, rows: Table, weights: NDArray[Any], offset: NDArray[Any] | None
) -> str:
    """Return ``rows @ weights + offset`` in float64, [N, m].

    Args:
        graph: the graph to write into.
        rows: columns [N, k].
        weights: [k, m].
        offset: [m] or one number; ``None`` adds nothing.
    """
    product = graph.op("MatMul", doubles(graph, rows), np.ascontiguousarray(f64(weights)))
    return product if offset is None else graph.op("Add", product, f64(offset))


def total(graph: Graph, x: str, axis: int = 1, *, keep: bool = True) -> str:
    """Return the sum over an axis.

    Args:
        graph: the graph to write into.
        x: numbers of any shape.
        axis: axis that is summed over.
        keep: leave the axis there, with one element.
    """
    return graph.op("ReduceSum", x, np.array([axis], np.int64), keepdims=int(keep))


def squared_distances(graph: Graph, x: str, points: NDArray[Any]) -> str:
    """Return squared Euclidean distances [N, M] in float64.

    Args:
        graph: the graph to write into.
        x: float64 [N, k].
        points: [M, k].
    """
    fixed = f64(points)
    own = total(graph, graph.op("Mul", x, x))
    cross = graph.op("MatMul", x, np.ascontiguousarray(-2 * fixed.T))
    both = graph.op("Add", graph.op("Add", own, cross), (fixed**2).sum(axis=1)[None])
    # |x|² - 2xp + |p|² of nearly equal points may round to a little below zero.
    return graph.op("Max", both, f64(0.0))


def distances(graph: Graph, x: str, points: NDArray[Any], metric: str) -> str:
    """Return distances [N, M] in float64.

    Args:
        graph: the graph to write into.
        x: float64 [N, k].
        points: [M, k].
        metric: its name in scikit-learn.

    Raises:
        UnsupportedModel: another metric than the common ones.
    """
    if metric in ("euclidean", "l2"):
        return graph.op("Sqrt", squared_distances(graph, x, points))
    if metric == "sqeuclidean":
        return squared_distances(graph, x, points)
    if metric in ("manhattan", "l1", "cityblock"):
        return total(graph, _apart(graph, x, points), 2, keep=False)
    if metric == "chebyshev":
        return graph.op("ReduceMax", _apart(graph, x, points), np.array([2]), keepdims=0)
    raise UnsupportedModel(f"the metric {metric!r} cannot be converted")


def apart_distances(graph: Graph, x: str, points: NDArray[Any], metric: str) -> str:
    """Return distances [N, M] from differences of coordinates: of equal points it is exactly zero.

    Arguments and errors are those of :func:`distances`, which needs less memory.
    """
    if metric not in ("euclidean", "l2"):
        return distances(graph, x, points, metric)
    apart = _apart(graph, x, points)
    return graph.op("Sqrt", total(graph, graph.op("Mul", apart, apart), 2, keep=False))


def _apart(graph: Graph, x: str, points: NDArray[Any]) -> str:
    """Return absolute differences of each coordinate, [N, M, k]."""
    return graph.op("Abs", graph.op("Sub", graph.op("Unsqueeze", x, AXIS_1), f64(points)[None]))


def kernel(
    graph: Graph, x: str, points: NDArray[Any], name: str, parameters: dict[str, Any]
) -> str:
    """Return a kernel matrix [N, M] in float64.

    Args:
        graph: the graph to write into.
        x: float64 [N, k].
        points: [M, k].
        name: of the kernel in scikit-learn.
        parameters: ``gamma``, ``degree``, ``coef0``, those that the kernel has; without ``gamma``
            it is 1 / k.

    Raises:
        UnsupportedModel: another kernel than the common ones.
    """
    if name not in _KERNELS:
        raise UnsupportedModel(f"the kernel {name!r} cannot be converted")
    gamma = parameters.get("gamma")
    filled = {**parameters, "gamma": 1.0 / points.shape[1] if gamma is None else gamma}
    return _KERNELS[name](graph, x, f64(points), filled)


def _dots(graph: Graph, x: str, points: NDArray[Any]) -> str:
    return graph.op("MatMul", x, np.ascontiguousarray(points.T))


def _poly(graph: Graph, x: str, points: NDArray[Any], parameters: dict[str, Any]) -> str:
    scaled = graph.op("Mul", _dots(graph, x, points), f64(parameters["gamma"]))
    shifted = graph.op("Add", scaled, f64(parameters.get("coef0", 1)))
    return graph.op("Pow", shifted, f64(parameters.get("degree", 3)))


def _sigmoid(graph: Graph, x: str, points: NDArray[Any], parameters: dict[str, Any]) -> str:
    scaled = graph.op("Mul", _dots(graph, x, points), f64(parameters["gamma"]))
    shifted = graph.op("Add", scaled, f64(parameters.get("coef0", 1)))
    return tanh(graph, shifted)


def tanh(graph: Graph, x: str) -> str:
    """Return ``tanh(x)`` in float64 as 2 / (1 + exp(-2x)) - 1.

    Onnxruntime's own Tanh does not take float64 everywhere.
    """
    power = graph.op("Exp", graph.op("Mul", x, f64(-2.0)))
    return graph.op("Sub", graph.op("Div", f64(2.0), graph.op("Add", power, f64(1.0))), f64(1.0))


def _rbf(graph: Graph, x: str, points: NDArray[Any], parameters: dict[str, Any]) -> str:
    far = squared_distances(graph, x, points)
    return graph.op("Exp", graph.op("Mul", far, f64(-parameters["gamma"])))


def _laplacian(graph: Graph, x: str, points: NDArray[Any], parameters: dict[str, Any]) -> str:
    far = distances(graph, x, points, "manhattan")
    return graph.op("Exp", graph.op("Mul", far, f64(-parameters["gamma"])))


def _cosine(graph: Graph, x: str, points: NDArray[Any], parameters: dict[str, Any]) -> str:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    unit = points / np.where(lengths == 0, 1, lengths)
    own = graph.op("Sqrt", total(graph, graph.op("Mul", x, x)))
    safe = graph.op("Where", graph.op("Equal", own, f64(0.0)), f64(1.0), own)
    return graph.op("Div", _dots(graph, x, unit), safe)


_KERNELS: Final[dict[str, Callable[[Graph, str, NDArray[Any], dict[str, Any]], str]]] = {
    "linear": lambda graph, x, points, parameters: _dots(graph, x, points),
    "poly": _poly,
    "polynomial": _poly,
    "sigmoid": _sigmoid,
    "rbf": _rbf,
    "laplacian": _laplacian,
    "cosine": _cosine,
}


def nearest(graph: Graph, distance: str) -> str:
    """Return the index of the smallest distance of each row, int64 [N]."""
    return graph.op("ArgMin", distance, axis=1, keepdims=0)


def nearest_point(graph: Graph, x: str, points: NDArray[Any]) -> str:
    """Return the index of the nearest of ``points`` by Euclidean distance, int64 [N].

    Args:
        graph: the graph to write into.
        x: float64 [N, k].
        points: [M, k].
    """
    centres = f64(points)
    # |x|² is the same in all distances of a row, so it is left out.
    cross = graph.op("MatMul", x, np.ascontiguousarray(-2 * centres.T))
    return nearest(graph, graph.op("Add", cross, (centres**2).sum(axis=1)[None]))


def interpolate(graph: Graph, x: str, places: NDArray[Any], values: NDArray[Any]) -> str:
    """Return ``np.interp(x, places, values)``, float64 [N, 1]; clipped at the ends.

    Args:
        graph: the graph to write into.
        x: float64 [N, 1].
        places: increasing, [k].
        values: at the places, [k].
    """
    xs, ys = f64(places), f64(values)
    if len(xs) == 1:
        return graph.op("Add", graph.op("Mul", x, f64(0.0)), f64(ys[0]))
    # Equal places are a step: no slope, the next piece begins with the upper value.
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.nan_to_num(np.diff(ys) / np.diff(xs), posinf=0.0, neginf=0.0)
    index = count_not_above(graph, x, xs[1:-1])
    start = graph.op("Gather", xs[:-1], index)
    step = graph.op("Mul", graph.op("Sub", x, start), graph.op("Gather", slopes, index))
    inside = graph.op("Add", graph.op("Gather", ys[:-1], index), step)
    low = graph.op("Where", graph.op("Less", x, f64(xs[0])), f64(ys[0]), inside)
    return graph.op("Where", graph.op("GreaterOrEqual", x, f64(xs[-1])), f64(ys[-1]), low)


def snapped(graph: Graph, x: str, marks: NDArray[Any]) -> str:
    """Return ``x`` with the value of a mark where it is within some roundings of it.

    Marks that were computed from training rows are met by such rows exactly; what a graph computes
    of them may differ in the last digits of a power or a logarithm.

    Args:
        graph: the graph to write into.
        x: float64 [N, 1].
        marks: increasing, [k].
    """
    if not graph.faithful or len(marks) == 0:
        return x
    exact, slack = f64(marks), ROUNDINGS * np.abs(f64(marks))
    place = graph.op("Sub", count_not_above(graph, x, exact - slack), 1)
    below = graph.op("Max", place, 0)
    mark = graph.op("Gather", exact, below)
    near = graph.op("Abs", graph.op("Sub", x, mark))
    close = graph.op("LessOrEqual", near, graph.op("Gather", slack, below))
    return graph.op("Where", close, mark, x)


ROUNDINGS: Final = 1e-12
"""Relative error of a few float64 functions one after the other."""


def count_not_above(graph: Graph, x: str, edges: NDArray[Any]) -> str:
    """Count the ``edges`` that are not above ``x``: a right-sided search, int64 [N, 1].

    Args:
        graph: the graph to write into.
        x: float64 [N, 1].
        edges: increasing, [k].
    """
    if len(edges) == 0:
        return graph.cast(graph.op("Greater", x, f64(np.inf)), INT64)  # none, of NaN either
    reached = graph.op("GreaterOrEqual", x, f64(edges)[None])
    return total(graph, graph.cast(reached, INT64))


def concat(graph: Graph, parts: Sequence[str]) -> str:
    """Join tensors [N, *] along axis 1."""
    return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=1)


def complement(graph: Graph, p: str) -> str:
    """Return [1 - p, p] of ``p`` [N, 1], in its own type: [N, 2]."""
    one = graph.op("CastLike", 1.0, p)
    return graph.op("Concat", graph.op("Sub", one, p), p, axis=1)


def normalised(graph: Graph, scores: str) -> str:
    """Scale rows [N, k] so that each sums to one."""
    return graph.op("Div", scores, total(graph, scores))


def argmax(graph: Graph, scores: str) -> str:
    """Return the index of the largest score of each row [N, k], int64 [N]."""
    return graph.op("ArgMax", scores, axis=1, keepdims=0)


def weighted_mean(graph: Graph, parts: Sequence[str], weights: Any) -> str:
    """Return the mean of float32 tensors of one shape.

    Args:
        graph: the graph to write into.
        parts: names of the tensors.
        weights: one number a tensor; ``None`` weighs all alike.
    """
    factors = f32(np.full(len(parts), 1.0) if weights is None else weights)
    factors = factors / factors.sum()
    scaled = [graph.op("Mul", x, w) for x, w in zip(parts, factors, strict=True)]
    return scaled[0] if len(scaled) == 1 else graph.op("Sum", *scaled)


def repeat_row(graph: Graph, rows: Table, values: NDArray[Any]) -> str:
    """Return one row ``values`` [1, k] for each of the N rows of the batch, [N, k].

    Args:
        graph: the graph to write into.
        rows: the batch; only its length is read.
        values: the row.
    """
    count = graph.op("Shape", rows.blocks[0].tensor, start=0, end=1)
    width = np.array([values.shape[1]], np.int64)
    return graph.op("Expand", values, graph.op("Concat", count, width, axis=0))
