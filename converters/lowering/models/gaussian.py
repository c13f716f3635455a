"""Gaussian processes of values, where skl2onnx's float32 kernels are too coarse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering import skl2onnx_fallback
from converters.lowering.graph import Graph
from converters.lowering.maths import doubles, f64, single, squared_distances
from converters.lowering.registry import lowers
from converters.lowering.table import Table

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor


@lowers("predict", "GaussianProcessRegressor")
def _lower_gaussian_process(estimator: GaussianProcessRegressor, graph: Graph, rows: Table) -> str:
    if not graph.faithful or not hasattr(estimator, "alpha_"):
        return skl2onnx_fallback.predict(estimator, graph, rows)
    points = f64(estimator.X_train_)
    grams = _covariance(estimator.kernel_, graph, doubles(graph, rows), points)
    mean = graph.op("MatMul", grams, f64(estimator.alpha_).reshape(len(points), -1))
    scaled = graph.op("Mul", mean, f64(estimator._y_train_std))
    return single(graph, graph.op("Add", scaled, f64(estimator._y_train_mean)))


def _covariance(kernel: Any, graph: Graph, x: str, points: Any) -> str:
    """Return a kernel of scikit-learn's between rows and training rows, float64 [N, M]."""
    name = type(kernel).__name__
    if name in ("Sum", "Product"):
        parts = [_covariance(k, graph, x, points) for k in (kernel.k1, kernel.k2)]
        return graph.op("Add" if name == "Sum" else "Mul", *parts)
    if name in ("ConstantKernel", "WhiteKernel"):  # noise of one row says nothing of another
        value = kernel.constant_value if name == "ConstantKernel" else 0.0
        column = graph.op("ReduceSum", x, np.array([1], np.int64), keepdims=1)
        nothing = graph.op("Mul", column, f64(0.0))
        return graph.op("Add", nothing, f64(np.full((1, len(points)), value)))
    if name == "RBF":
        scaled = graph.op("Div", x, f64(kernel.length_scale))
        far = squared_distances(graph, scaled, points / kernel.length_scale)
        return graph.op("Exp", graph.op("Mul", far, f64(-0.5)))
    if name == "DotProduct":
        products = graph.op("MatMul", x, np.ascontiguousarray(points.T))
        return graph.op("Add", products, f64(kernel.sigma_0**2))
    raise UnsupportedModel(f"GaussianProcessRegressor: the kernel {name} cannot be converted")
