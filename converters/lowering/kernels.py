"""Kernel methods: a kernel matrix to the training rows, then a matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering.graph import Graph
from converters.lowering.maths import (
    AXIS_1,
    distances,
    doubles,
    f64,
    kernel,
    single,
    total,
)
from converters.lowering.registry import form
from converters.lowering.table import Table


def _wish(model: Any) -> dict[str, Any]:
    if callable(model.kernel):
        raise UnsupportedModel(f"{type(model).__name__}: a kernel of one's own has no form")
    given = {name: getattr(model, name) for name in ("gamma", "degree", "coef0")}
    return {name: value for name, value in given.items() if value is not None}


@form("predict", "KernelRidge")
def _ridge(graph: Graph, model: Any, rows: Table) -> str:
    x = doubles(graph, rows)
    dual = f64(model.dual_coef_).reshape(len(model.X_fit_), -1)
    grams = kernel(graph, x, model.X_fit_, model.kernel, _wish(model))
    return single(graph, graph.op("MatMul", grams, dual))


@form("transform", "Nystroem")
def _nystroem(graph: Graph, model: Any, rows: Table) -> Table:
    grams = kernel(graph, doubles(graph, rows), model.components_, model.kernel, _wish(model))
    made = graph.op("MatMul", grams, np.ascontiguousarray(f64(model.normalization_.T)))
    return Table.of(single(graph, made), len(model.normalization_))


@form("transform", "Isomap")
def _isomap(graph: Graph, model: Any, rows: Table) -> Table:
    """Geodesic distance to a training row: through the nearest of its neighbours."""
    if model.n_neighbors is None:
        raise UnsupportedModel("Isomap: only n_neighbors has a form, not radius")
    far = distances(graph, doubles(graph, rows), model.nbrs_._fit_X, _metric(model.nbrs_))
    near, index = graph.ops(
        "TopK", far, np.array([model.n_neighbors], np.int64), outputs=2, axis=1, largest=0
    )
    through = graph.op("Gather", f64(model.dist_matrix_), index)
    paths = graph.op("Add", through, graph.op("Unsqueeze", near, np.array([2], np.int64)))
    shortest = graph.op("ReduceMin", paths, AXIS_1, keepdims=0)
    grams = graph.op("Mul", graph.op("Mul", shortest, shortest), f64(-0.5))
    return _kernel_pca(graph, model.kernel_pca_, grams)


def _metric(model: Any) -> str:
    return "euclidean" if model.effective_metric_ == "minkowski" else str(model.effective_metric_)


def _kernel_pca(graph: Graph, model: Any, grams: str) -> Table:
    """Centred kernel values times scaled eigenvectors."""
    centre = model._centerer
    lengths = np.sqrt(np.where(model.eigenvalues_ > 0, model.eigenvalues_, 1.0))
    alphas = np.where(model.eigenvalues_ > 0, model.eigenvectors_ / lengths, 0.0)
    mean = graph.op("Div", total(graph, grams), f64(len(centre.K_fit_rows_)))
    shifted = graph.op("Sub", graph.op("Sub", grams, f64(centre.K_fit_rows_)[None]), mean)
    made = graph.op("MatMul", graph.op("Add", shifted, f64(centre.K_fit_all_)), f64(alphas))
    return Table.of(single(graph, made), alphas.shape[1])


@form("predict_proba", "LabelPropagation", "LabelSpreading")
def _propagated(graph: Graph, model: Any, rows: Table) -> str:
    x = doubles(graph, rows)
    if model.kernel == "rbf":
        weights = kernel(graph, x, model.X_, "rbf", {"gamma": model.gamma})
    elif model.kernel == "knn":
        weights = _members(graph, distances(graph, x, model.X_, "euclidean"), model.n_neighbors)
    else:
        raise UnsupportedModel(f"{type(model).__name__}: a kernel of one's own has no form")
    sums = graph.op("MatMul", weights, f64(model.label_distributions_))
    return single(graph, graph.op("Div", sums, total(graph, sums)))


def _members(graph: Graph, far: str, count: int) -> str:
    """1.0 for the ``count`` nearest of each row, else 0.0; [N, M] in float64."""
    _, index = graph.ops("TopK", far, np.array([count], np.int64), outputs=2, axis=1, largest=0)
    zeros = graph.op("Mul", far, f64(0.0))
    ones = graph.op("Add", graph.op("GatherElements", zeros, index, axis=1), f64(1.0))
    return graph.op("ScatterElements", zeros, index, ones, axis=1)


@form("transform", "RBFSampler")
def _rbf_sampler(graph: Graph, model: Any, rows: Table) -> Table:
    return _waves(graph, model, doubles(graph, rows))


@form("transform", "SkewedChi2Sampler")
def _skewed(graph: Graph, model: Any, rows: Table) -> Table:
    shifted = graph.op("Add", doubles(graph, rows), f64(model.skewedness))
    return _waves(graph, model, graph.op("Log", shifted))


def _waves(graph: Graph, model: Any, x: str) -> Table:
    weights, offset = f64(model.random_weights_), f64(model.random_offset_)
    angles = graph.op("Add", graph.op("MatMul", x, weights), offset[None])
    size = np.sqrt(2.0) / np.sqrt(weights.shape[1])
    waves = graph.op("Mul", graph.op("Cos", angles), f64(size))
    return Table.of(single(graph, waves), weights.shape[1])


@form("transform", "AdditiveChi2Sampler")
def _additive(graph: Graph, model: Any, rows: Table) -> Table:
    """Source: A. Vedaldi, A. Zisserman, "Efficient Additive Kernels via Explicit Feature Maps"."""
    step = {1: 0.8, 2: 0.5, 3: 0.4}.get(model.sample_steps, model.sample_interval)
    x = doubles(graph, rows)
    empty = graph.op("Equal", x, f64(0.0))
    logs = graph.op("Mul", graph.op("Log", graph.op("Where", empty, f64(1.0), x)), f64(step))
    parts = [graph.op("Sqrt", graph.op("Mul", x, f64(step)))]
    for j in range(1, model.sample_steps):
        size = 2 * step / np.cosh(np.pi * j * step)
        factor = graph.op("Sqrt", graph.op("Mul", x, f64(size)))
        angle = graph.op("Mul", logs, f64(float(j)))
        parts += [graph.op("Mul", factor, graph.op(wave, angle)) for wave in ("Cos", "Sin")]
    made = graph.op("Concat", *parts, axis=1)
    return Table.of(single(graph, made), rows.width * len(parts))


@form("transform", "PolynomialCountSketch")
def _sketch(graph: Graph, model: Any, rows: Table) -> Table:
    """Count sketches multiplied in the frequency domain; the transform is a matrix."""
    n = model.n_components
    angle = 2 * np.pi * np.outer(np.arange(n), np.arange(n)) / n
    cos, sin = np.cos(angle), np.sin(angle)
    x = graph.op("Mul", doubles(graph, rows), f64(np.sqrt(model.gamma)))
    real, imaginary = _frequencies(graph, model, x, 0, cos, sin)
    for d in range(1, model.degree):
        r, i = _frequencies(graph, model, x, d, cos, sin)
        product = graph.op("Sub", graph.op("Mul", real, r), graph.op("Mul", imaginary, i))
        imaginary = graph.op("Add", graph.op("Mul", real, i), graph.op("Mul", imaginary, r))
        real = product
    back = graph.op(
        "Sub", graph.op("MatMul", real, cos / n), graph.op("MatMul", imaginary, -sin / -n)
    )
    return Table.of(single(graph, back), n)


def _frequencies(graph: Graph, model: Any, x: str, d: int, cos: Any, sin: Any) -> tuple[str, str]:
    """Real and imaginary part of the transform of one count sketch."""
    width = model.indexHash_.shape[1]
    hashed = np.zeros((width, model.n_components))
    hashed[np.arange(width), model.indexHash_[d]] = model.bitHash_[d]
    offset = np.zeros(model.n_components)
    features = width - (1 if model.coef0 != 0 else 0)
    if model.coef0 != 0:
        offset = np.sqrt(model.coef0) * hashed[-1]
    inner = hashed[:features]
    real = graph.op("Add", graph.op("MatMul", x, inner @ cos), (offset @ cos)[None])
    imaginary = graph.op("Add", graph.op("MatMul", x, -inner @ sin), (-offset @ sin)[None])
    return real, imaginary
