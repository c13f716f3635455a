"""Kernel methods: a kernel matrix to the training rows, then a matrix product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from converters.lowering.registry import lowers
from converters.lowering.table import Table, outcome

if TYPE_CHECKING:
    from sklearn.decomposition import KernelPCA
    from sklearn.kernel_approximation import (
        AdditiveChi2Sampler,
        Nystroem,
        PolynomialCountSketch,
        RBFSampler,
        SkewedChi2Sampler,
    )
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.manifold import Isomap
    from sklearn.semi_supervised import LabelPropagation, LabelSpreading


def _kernel_parameters(estimator: Any) -> dict[str, Any]:
    if callable(estimator.kernel):
        raise UnsupportedModel(
            f"{type(estimator).__name__}: a kernel that is a function cannot be converted"
        )
    values = {name: getattr(estimator, name) for name in ("gamma", "degree", "coef0")}
    return {name: value for name, value in values.items() if value is not None}


@lowers("predict", "KernelRidge")
def _lower_kernel_ridge(estimator: KernelRidge, graph: Graph, rows: Table) -> str:
    x = doubles(graph, rows)
    dual = f64(estimator.dual_coef_).reshape(estimator.X_fit_.shape[0], -1)
    grams = kernel(graph, x, estimator.X_fit_, estimator.kernel, _kernel_parameters(estimator))
    return single(graph, graph.op("MatMul", grams, dual))


@lowers("transform", "Nystroem")
def _lower_nystroem(estimator: Nystroem, graph: Graph, rows: Table) -> Table:
    grams = kernel(
        graph,
        doubles(graph, rows),
        estimator.components_,
        estimator.kernel,
        _kernel_parameters(estimator),
    )
    projected = graph.op("MatMul", grams, np.ascontiguousarray(f64(estimator.normalization_.T)))
    return outcome(graph, rows, projected, len(estimator.normalization_))


@lowers("transform", "Isomap")
def _lower_isomap(estimator: Isomap, graph: Graph, rows: Table) -> Table:
    """Project geodesic distances: to a training row through the nearest of its neighbours."""
    if estimator.n_neighbors is None:
        raise UnsupportedModel("Isomap: only n_neighbors can be converted, not radius")
    distance = distances(
        graph, doubles(graph, rows), estimator.nbrs_._fit_X, _metric(estimator.nbrs_)
    )
    near, index = graph.ops(
        "TopK", distance, np.array([estimator.n_neighbors], np.int64), outputs=2, axis=1, largest=0
    )
    through = graph.op("Gather", f64(estimator.dist_matrix_), index)
    paths = graph.op("Add", through, graph.op("Unsqueeze", near, np.array([2], np.int64)))
    shortest = graph.op("ReduceMin", paths, AXIS_1, keepdims=0)
    grams = graph.op("Mul", graph.op("Mul", shortest, shortest), f64(-0.5))
    return _project_kernel(estimator.kernel_pca_, graph, rows, grams)


@lowers("transform", "KernelPCA")
def _lower_kernel_pca(estimator: KernelPCA, graph: Graph, rows: Table) -> Table:
    parameters = _kernel_parameters(estimator) | {"gamma": estimator.gamma_}
    x = doubles(graph, rows)
    grams = kernel(graph, x, estimator.X_fit_, estimator.kernel, parameters)
    return _project_kernel(estimator, graph, rows, grams)


def _metric(estimator: Any) -> str:
    return (
        "euclidean"
        if estimator.effective_metric_ == "minkowski"
        else str(estimator.effective_metric_)
    )


def _project_kernel(estimator: Any, graph: Graph, rows: Table, grams: str) -> Table:
    """Return centred kernel values times scaled eigenvectors, [N, components]."""
    centre = estimator._centerer
    # Components without variance have an eigenvalue of 0, and stay 0 instead of dividing by it.
    lengths = np.sqrt(np.where(estimator.eigenvalues_ > 0, estimator.eigenvalues_, 1.0))
    alphas = np.where(estimator.eigenvalues_ > 0, estimator.eigenvectors_ / lengths, 0.0)
    mean = graph.op("Div", total(graph, grams), f64(len(centre.K_fit_rows_)))
    shifted = graph.op("Sub", graph.op("Sub", grams, f64(centre.K_fit_rows_)[None]), mean)
    projected = graph.op("MatMul", graph.op("Add", shifted, f64(centre.K_fit_all_)), f64(alphas))
    return outcome(graph, rows, projected, alphas.shape[1])


@lowers("predict_proba", "LabelPropagation", "LabelSpreading")
def _lower_label_propagation(
    estimator: LabelPropagation | LabelSpreading, graph: Graph, rows: Table
) -> str:
    x = doubles(graph, rows)
    if estimator.kernel == "rbf":
        weights = kernel(graph, x, estimator.X_, "rbf", {"gamma": estimator.gamma})
    elif estimator.kernel == "knn":
        weights = _neighbour_mask(
            graph, distances(graph, x, estimator.X_, "euclidean"), estimator.n_neighbors
        )
    else:
        raise UnsupportedModel(
            f"{type(estimator).__name__}: a kernel that is a function cannot be converted"
        )
    sums = graph.op("MatMul", weights, f64(estimator.label_distributions_))
    return single(graph, graph.op("Div", sums, total(graph, sums)))


def _neighbour_mask(graph: Graph, distance: str, count: int) -> str:
    """Return 1.0 for the ``count`` nearest points of each row, else 0.0: float64 [N, M]."""
    _, index = graph.ops(
        "TopK", distance, np.array([count], np.int64), outputs=2, axis=1, largest=0
    )
    # Scattered into zeros of the distances' shape, which is known when the graph runs only.
    zeros = graph.op("Mul", distance, f64(0.0))
    ones = graph.op("Add", graph.op("GatherElements", zeros, index, axis=1), f64(1.0))
    return graph.op("ScatterElements", zeros, index, ones, axis=1)


@lowers("transform", "RBFSampler")
def _lower_rbf_sampler(estimator: RBFSampler, graph: Graph, rows: Table) -> Table:
    return _random_cosines(estimator, graph, rows, doubles(graph, rows))


@lowers("transform", "SkewedChi2Sampler")
def _lower_skewed_chi2_sampler(estimator: SkewedChi2Sampler, graph: Graph, rows: Table) -> Table:
    shifted = graph.op("Add", doubles(graph, rows), f64(estimator.skewedness))
    return _random_cosines(estimator, graph, rows, graph.op("Log", shifted))


def _random_cosines(estimator: Any, graph: Graph, rows: Table, x: str) -> Table:
    weights, offset = f64(estimator.random_weights_), f64(estimator.random_offset_)
    angles = graph.op("Add", graph.op("MatMul", x, weights), offset[None])
    size = np.sqrt(2.0) / np.sqrt(weights.shape[1])
    waves = graph.op("Mul", graph.op("Cos", angles), f64(size))
    return outcome(graph, rows, waves, weights.shape[1])


@lowers("transform", "AdditiveChi2Sampler")
def _lower_additive_chi2_sampler(
    estimator: AdditiveChi2Sampler, graph: Graph, rows: Table
) -> Table:
    """Map features so that dot products approximate the chi-squared kernel.

    Source: A. Vedaldi, A. Zisserman, "Efficient Additive Kernels via Explicit Feature Maps", 2012.
    """
    step = {1: 0.8, 2: 0.5, 3: 0.4}.get(estimator.sample_steps, estimator.sample_interval)
    x = doubles(graph, rows)
    # log 0 would be -inf, and 0 times its cosine NaN; the square root makes these products 0.
    empty = graph.op("Equal", x, f64(0.0))
    logs = graph.op("Mul", graph.op("Log", graph.op("Where", empty, f64(1.0), x)), f64(step))
    parts = [graph.op("Sqrt", graph.op("Mul", x, f64(step)))]
    for j in range(1, estimator.sample_steps):
        size = 2 * step / np.cosh(np.pi * j * step)
        factor = graph.op("Sqrt", graph.op("Mul", x, f64(size)))
        angle = graph.op("Mul", logs, f64(float(j)))
        parts += [graph.op("Mul", factor, graph.op(wave, angle)) for wave in ("Cos", "Sin")]
    projected = graph.op("Concat", *parts, axis=1)
    return outcome(graph, rows, projected, rows.width * len(parts))


@lowers("transform", "PolynomialCountSketch")
def _lower_polynomial_count_sketch(
    estimator: PolynomialCountSketch, graph: Graph, rows: Table
) -> Table:
    """Multiply count sketches in the frequency domain; the Fourier transform is a matrix here."""
    n = estimator.n_components
    angle = 2 * np.pi * np.outer(np.arange(n), np.arange(n)) / n
    cos, sin = np.cos(angle), np.sin(angle)
    x = graph.op("Mul", doubles(graph, rows), f64(np.sqrt(estimator.gamma)))
    real, imaginary = _sketch_spectrum(estimator, graph, x, 0, cos, sin)
    for d in range(1, estimator.degree):
        r, i = _sketch_spectrum(estimator, graph, x, d, cos, sin)
        product = graph.op("Sub", graph.op("Mul", real, r), graph.op("Mul", imaginary, i))
        imaginary = graph.op("Add", graph.op("Mul", real, i), graph.op("Mul", imaginary, r))
        real = product
    back = graph.op(
        "Sub", graph.op("MatMul", real, cos / n), graph.op("MatMul", imaginary, -sin / -n)
    )
    return outcome(graph, rows, back, n)


def _sketch_spectrum(
    estimator: Any, graph: Graph, x: str, d: int, cos: Any, sin: Any
) -> tuple[str, str]:
    """Return real and imaginary part of the Fourier transform of one count sketch, [N, outputs]."""
    width = estimator.indexHash_.shape[1]
    hashed = np.zeros((width, estimator.n_components))
    hashed[np.arange(width), estimator.indexHash_[d]] = estimator.bitHash_[d]
    offset = np.zeros(estimator.n_components)
    features = width - (1 if estimator.coef0 != 0 else 0)
    # scikit-learn adds coef0 as one more constant feature; here it becomes an offset.
    if estimator.coef0 != 0:
        offset = np.sqrt(estimator.coef0) * hashed[-1]
    inner = hashed[:features]
    real = graph.op("Add", graph.op("MatMul", x, inner @ cos), (offset @ cos)[None])
    imaginary = graph.op("Add", graph.op("MatMul", x, -inner @ sin), (-offset @ sin)[None])
    return real, imaginary
