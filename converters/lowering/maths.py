"""What many forms are made of.

Distances, kernels and interpolation compute in float64: differences of nearly equal numbers are
where float32 would give another answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel
from converters.lowering.graph import DOUBLE, FLOAT, Graph
from converters.lowering.table import Table, joined

AXIS_1: Final = np.array([1], np.int64)


def doubles(graph: Graph, rows: Table) -> str:
    """All columns in one float64 tensor."""
    return joined(graph, rows, DOUBLE)


def f64(value: Any) -> NDArray[np.float64]:
    """A float64 constant."""
    return np.asarray(value, dtype=np.float64)


def f32(value: Any) -> NDArray[np.float32]:
    """A float32 constant."""
    return np.asarray(value, dtype=np.float32)


def single(graph: Graph, x: str) -> str:
    """``x`` as float32."""
    return graph.cast(x, FLOAT)


def affine(graph: Graph, x: str, weights: NDArray[Any], offset: NDArray[Any] | None) -> str:
    """``x @ weights + offset`` in float32; ``weights`` are [k, m]."""
    bias = [] if offset is None else [f32(np.broadcast_to(offset, weights.shape[1:]))]
    return graph.op("Gemm", x, f32(weights), *bias)


def total(graph: Graph, x: str, axis: int = 1, *, keep: bool = True) -> str:
    """The sum over an axis."""
    return graph.op("ReduceSum", x, np.array([axis], np.int64), keepdims=int(keep))


def squared_distances(graph: Graph, x: str, points: NDArray[Any]) -> str:
    """[N, M] in float64, from ``x`` [N, k] in float64 to ``points`` [M, k]."""
    far = f64(points)
    own = total(graph, graph.op("Mul", x, x))
    cross = graph.op("MatMul", x, np.ascontiguousarray(-2 * far.T))
    both = graph.op("Add", graph.op("Add", own, cross), (far**2).sum(axis=1)[None])
    return graph.op("Max", both, f64(0.0))


def distances(graph: Graph, x: str, points: NDArray[Any], metric: str) -> str:
    """[N, M] in float64 by a metric's name; raises :class:`UnsupportedModel`."""
    if metric in ("euclidean", "l2"):
        return graph.op("Sqrt", squared_distances(graph, x, points))
    if metric == "sqeuclidean":
        return squared_distances(graph, x, points)
    if metric in ("manhattan", "l1", "cityblock"):
        return total(graph, _apart(graph, x, points), 2, keep=False)
    if metric == "chebyshev":
        return graph.op("ReduceMax", _apart(graph, x, points), np.array([2]), keepdims=0)
    raise UnsupportedModel(f"the metric {metric!r} has no form")


def _apart(graph: Graph, x: str, points: NDArray[Any]) -> str:
    """Absolute differences of each coordinate, [N, M, k]."""
    return graph.op("Abs", graph.op("Sub", graph.op("Unsqueeze", x, AXIS_1), f64(points)[None]))


def kernel(graph: Graph, x: str, points: NDArray[Any], name: str, wish: dict[str, Any]) -> str:
    """A kernel matrix [N, M] in float64; raises :class:`UnsupportedModel` for unknown kernels."""
    if name not in _KERNELS:
        raise UnsupportedModel(f"the kernel {name!r} has no form")
    gamma = wish.get("gamma")
    filled = {**wish, "gamma": 1.0 / points.shape[1] if gamma is None else gamma}
    return _KERNELS[name](graph, x, f64(points), filled)


def _dots(graph: Graph, x: str, points: NDArray[Any]) -> str:
    return graph.op("MatMul", x, np.ascontiguousarray(points.T))


def _poly(graph: Graph, x: str, points: NDArray[Any], wish: dict[str, Any]) -> str:
    scaled = graph.op("Mul", _dots(graph, x, points), f64(wish["gamma"]))
    shifted = graph.op("Add", scaled, f64(wish.get("coef0", 1)))
    return graph.op("Pow", shifted, f64(wish.get("degree", 3)))


def _sigmoid(graph: Graph, x: str, points: NDArray[Any], wish: dict[str, Any]) -> str:
    scaled = graph.op("Mul", _dots(graph, x, points), f64(wish["gamma"]))
    shifted = graph.op("Add", scaled, f64(wish.get("coef0", 1)))
    return tanh(graph, shifted)


def tanh(graph: Graph, x: str) -> str:
    """In float64, which onnxruntime's Tanh does not know everywhere: 2 / (1 + exp(-2x)) - 1."""
    power = graph.op("Exp", graph.op("Mul", x, f64(-2.0)))
    return graph.op("Sub", graph.op("Div", f64(2.0), graph.op("Add", power, f64(1.0))), f64(1.0))


def _rbf(graph: Graph, x: str, points: NDArray[Any], wish: dict[str, Any]) -> str:
    far = squared_distances(graph, x, points)
    return graph.op("Exp", graph.op("Mul", far, f64(-wish["gamma"])))


def _laplacian(graph: Graph, x: str, points: NDArray[Any], wish: dict[str, Any]) -> str:
    far = distances(graph, x, points, "manhattan")
    return graph.op("Exp", graph.op("Mul", far, f64(-wish["gamma"])))


def _cosine(graph: Graph, x: str, points: NDArray[Any], wish: dict[str, Any]) -> str:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    unit = points / np.where(lengths == 0, 1, lengths)
    own = graph.op("Sqrt", total(graph, graph.op("Mul", x, x)))
    safe = graph.op("Where", graph.op("Equal", own, f64(0.0)), f64(1.0), own)
    return graph.op("Div", _dots(graph, x, unit), safe)


_KERNELS: Final[dict[str, Callable[[Graph, str, NDArray[Any], dict[str, Any]], str]]] = {
    "linear": lambda graph, x, points, wish: _dots(graph, x, points),
    "poly": _poly,
    "polynomial": _poly,
    "sigmoid": _sigmoid,
    "rbf": _rbf,
    "laplacian": _laplacian,
    "cosine": _cosine,
}


def nearest(graph: Graph, far: str) -> str:
    """The index of the smallest distance of each row, [N]."""
    return graph.op("ArgMin", far, axis=1, keepdims=0)


def nearest_point(graph: Graph, x: str, points: NDArray[Any]) -> str:
    """The index of the nearest of ``points`` by Euclidean distance, [N]; ``x`` in float64.

    What a row's own length adds to all its distances does not matter.
    """
    known = f64(points)
    cross = graph.op("MatMul", x, np.ascontiguousarray(-2 * known.T))
    return nearest(graph, graph.op("Add", cross, (known**2).sum(axis=1)[None]))


def interpolate(graph: Graph, x: str, places: NDArray[Any], values: NDArray[Any]) -> str:
    """``np.interp`` of ``x`` [N, 1] in float64 over increasing ``places``; clipped at the ends."""
    xs, ys = f64(places), f64(values)
    if len(xs) == 1:
        return graph.op("Add", graph.op("Mul", x, f64(0.0)), f64(ys[0]))
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.nan_to_num(np.diff(ys) / np.diff(xs), posinf=0.0, neginf=0.0)
    index = count_not_above(graph, x, xs[1:-1])
    start = graph.op("Gather", xs[:-1], index)
    step = graph.op("Mul", graph.op("Sub", x, start), graph.op("Gather", slopes, index))
    inside = graph.op("Add", graph.op("Gather", ys[:-1], index), step)
    low = graph.op("Where", graph.op("Less", x, f64(xs[0])), f64(ys[0]), inside)
    return graph.op("Where", graph.op("GreaterOrEqual", x, f64(xs[-1])), f64(ys[-1]), low)


def count_not_above(graph: Graph, x: str, edges: NDArray[Any]) -> str:
    """How many of ``edges`` are not above ``x`` [N, 1], int64 [N, 1]: a right-sided search."""
    if len(edges) == 0:
        return graph.cast(graph.op("Mul", x, f64(0.0)), 7)
    return total(graph, graph.cast(graph.op("GreaterOrEqual", x, f64(edges)[None]), 7))


def concat(graph: Graph, parts: Sequence[str]) -> str:
    """Tensors [N, *] joined along axis 1."""
    return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=1)


def complement(graph: Graph, share: str) -> str:
    """[1 - p, p] of ``p`` [N, 1], float32 or float64 alike."""
    one = graph.op("CastLike", 1.0, share)
    return graph.op("Concat", graph.op("Sub", one, share), share, axis=1)


def normalised(graph: Graph, scores: str) -> str:
    """Rows that sum to one; float32."""
    return graph.op("Div", scores, total(graph, scores))


def argmax(graph: Graph, scores: str) -> str:
    """Return the index of the largest score of each row [N, k], int64 [N]."""
    return graph.op("ArgMax", scores, axis=1, keepdims=0)


def weighted_mean(graph: Graph, parts: Sequence[str], weights: Any) -> str:
    """Return the mean of float32 tensors of one shape.

    Args:
        graph: the graph that is being written.
        parts: names of the tensors.
        weights: one number a tensor; ``None`` weighs all alike.
    """
    shares = f32(np.full(len(parts), 1.0) if weights is None else weights)
    shares = shares / shares.sum()
    scaled = [graph.op("Mul", x, w) for x, w in zip(parts, shares, strict=True)]
    return scaled[0] if len(scaled) == 1 else graph.op("Sum", *scaled)


def repeat_row(graph: Graph, rows: Table, values: NDArray[Any]) -> str:
    """Return one row ``values`` [1, k] for each of the N rows of the batch, [N, k].

    Args:
        graph: the graph that is being written.
        rows: the batch; only its length is read.
        values: the row.
    """
    count = graph.op("Shape", rows.blocks[0].tensor, start=0, end=1)
    width = np.array([values.shape[1]], np.int64)
    return graph.op("Expand", values, graph.op("Concat", count, width, axis=0))
