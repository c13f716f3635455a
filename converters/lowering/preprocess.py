"""Transformers: bins, splines, quantiles, functions, selections of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.errors import UnsupportedModel
from converters.lowering import registry
from converters.lowering.graph import DOUBLE, Graph
from converters.lowering.maths import (
    concat,
    count_not_above,
    doubles,
    f64,
    interpolate,
    single,
    total,
)
from converters.lowering.registry import as_float, lowers
from converters.lowering.table import Table, pick

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.feature_selection import RFE, RFECV
    from sklearn.preprocessing import (
        FunctionTransformer,
        KBinsDiscretizer,
        KernelCenterer,
        QuantileTransformer,
        SplineTransformer,
    )

_FUNCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "log": ("Log",), "exp": ("Exp",), "sqrt": ("Sqrt",), "absolute": ("Abs",), "abs": ("Abs",),
    "negative": ("Neg",), "reciprocal": ("Reciprocal",), "sin": ("Sin",), "cos": ("Cos",),
    "floor": ("Floor",), "ceil": ("Ceil",), "sign": ("Sign",),
    "log1p": ("+1", "Log"), "expm1": ("Exp", "-1"), "square": ("**2",), "log2": ("Log", "/ln2"),
    "log10": ("Log", "/ln10")
}  # fmt: skip


def apply_ufunc(graph: Graph, function: Any, x: str) -> str:
    """Apply a NumPy function, bins by its name.

    Args:
        graph: the graph to write into.
        function: a ufunc of NumPy.
        x: float64, of any shape.

    Raises:
        UnsupportedModel: another function.
    """
    steps = _FUNCTIONS.get(getattr(function, "__name__", ""), ())
    if not isinstance(function, np.ufunc) or not steps:
        name = getattr(function, "__name__", repr(function))
        raise UnsupportedModel(
            f"the function {name!r} cannot be converted; NumPy's own can: {', '.join(_FUNCTIONS)}"
        )
    for step in steps:
        x = _apply_step(graph, step, x)
    return x


def _apply_step(graph: Graph, step: str, x: str) -> str:
    arithmetic: dict[str, tuple[str, float]] = {
        "+1": ("Add", 1.0), "-1": ("Sub", 1.0), "/ln2": ("Div", np.log(2)),
        "/ln10": ("Div", np.log(10)),
    }  # fmt: skip
    if step == "**2":
        return graph.op("Mul", x, x)
    if step in arithmetic:
        kind, value = arithmetic[step]
        return graph.op(kind, x, f64(value))
    return graph.op(step, x)


@lowers("transform", "FunctionTransformer")
def _lower_function_transformer(estimator: FunctionTransformer, graph: Graph, rows: Table) -> Table:
    if estimator.func is None:
        return rows
    if estimator.kw_args:
        raise UnsupportedModel("FunctionTransformer: kw_args cannot be converted")
    try:
        return Table.of(
            single(graph, apply_ufunc(graph, estimator.func, doubles(graph, rows))), rows.width
        )
    except UnsupportedModel as error:
        raise UnsupportedModel(f"FunctionTransformer: {error}") from error


@lowers("predict", "TransformedTargetRegressor")
def _lower_transformed_target(
    estimator: TransformedTargetRegressor, graph: Graph, rows: Table
) -> str:
    outputs = registry.predict(estimator.regressor_, graph, rows)
    inverse, x = estimator.transformer_, graph.cast(outputs, DOUBLE)
    kind = type(inverse).__name__
    if kind == "FunctionTransformer":
        function = inverse.inverse_func
        return outputs if function is None else single(graph, apply_ufunc(graph, function, x))
    if kind in ("MinMaxScaler", "RobustScaler", "StandardScaler"):
        scale, offset = _inverse_scaling(inverse, kind)
        line = graph.op("Add", graph.op("Mul", x, f64(scale)), f64(offset))
        return single(graph, line)
    raise UnsupportedModel(f"TransformedTargetRegressor: the inverse of {kind} cannot be converted")


def _inverse_scaling(estimator: Any, kind: str) -> tuple[Any, Any]:
    if kind == "MinMaxScaler":
        return 1 / estimator.scale_, -estimator.min_ / estimator.scale_
    scale = estimator.scale_ if estimator.scale_ is not None else 1.0
    offset = estimator.mean_ if kind == "StandardScaler" else estimator.center_
    return scale, 0.0 if offset is None else offset


@lowers(
    "transform",
    "GenericUnivariateSelect",
    "RFE",
    "RFECV",
    "SelectFdr",
    "SelectFpr",
    "SelectFromModel",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "SequentialFeatureSelector",
    "VarianceThreshold",
)
def _lower_feature_selection(estimator: BaseEstimator, graph: Graph, rows: Table) -> Table:
    chosen = np.flatnonzero(estimator.get_support())
    if len(chosen) == 0:
        raise UnsupportedModel(f"{type(estimator).__name__}: selects no feature")
    return pick(graph, rows, chosen.tolist())


@lowers("predict", "RFE", "RFECV")
def _lower_rfe_predictions(estimator: RFE | RFECV, graph: Graph, rows: Table) -> str:
    return registry.predict(
        estimator.estimator_, graph, _lower_feature_selection(estimator, graph, rows)
    )


@lowers("predict_proba", "RFE", "RFECV")
def _lower_rfe_probabilities(estimator: RFE | RFECV, graph: Graph, rows: Table) -> str:
    return registry.probabilities(
        estimator.estimator_, graph, _lower_feature_selection(estimator, graph, rows)
    )


@lowers("decision_function", "RFE", "RFECV")
def _lower_rfe_decision(estimator: RFE | RFECV, graph: Graph, rows: Table) -> str:
    return registry.decision(
        estimator.estimator_, graph, _lower_feature_selection(estimator, graph, rows)
    )


def _columns(graph: Graph, x: str, width: int) -> list[str]:
    """Return the columns of ``x`` [N, width], each [N, 1]."""
    return graph.ops("Split", x, outputs=width, axis=1, num_outputs=width) if width > 1 else [x]


@lowers("transform", "KBinsDiscretizer")
def _lower_k_bins(estimator: KBinsDiscretizer, graph: Graph, rows: Table) -> Table:
    """Write bins; edges are compared in float64, so that no value near one changes its bin."""
    parts = _columns(graph, doubles(graph, rows), rows.width)
    bins = [
        count_not_above(graph, x, e[1:-1]) for x, e in zip(parts, estimator.bin_edges_, strict=True)
    ]
    if estimator.encode == "ordinal":
        return Table.of(as_float(graph, concat(graph, bins)), rows.width)
    outputs = [
        as_float(graph, graph.op("Equal", x, np.arange(n, dtype=np.int64)[None]))
        for x, n in zip(bins, estimator.n_bins_, strict=True)
    ]
    return Table.of(concat(graph, outputs), int(np.sum(estimator.n_bins_)))


@lowers("transform", "QuantileTransformer")
def _lower_quantile_transformer(estimator: QuantileTransformer, graph: Graph, rows: Table) -> Table:
    """Average interpolations from both sides, as scikit-learn does: quantiles may repeat."""
    if estimator.output_distribution != "uniform":
        raise UnsupportedModel(
            "QuantileTransformer: only output_distribution='uniform' can be converted"
        )
    outputs = []
    for i, x in enumerate(_columns(graph, doubles(graph, rows), rows.width)):
        quantiles = estimator.quantiles_[:, i]
        ahead = interpolate(graph, x, quantiles, estimator.references_)
        # The second one runs over the mirrored quantiles, so that repeats resolve the other way.
        turned = graph.op("Neg", x)
        back = interpolate(graph, turned, -quantiles[::-1], -estimator.references_[::-1])
        mean = graph.op("Mul", graph.op("Sub", ahead, back), f64(0.5))
        # Values within 1e-7 of an end count as the end, as in scikit-learn (BOUNDS_THRESHOLD).
        low = graph.op("Less", x, f64(quantiles[0] + 1e-7))
        high = graph.op("Greater", x, f64(quantiles[-1] - 1e-7))
        inner = graph.op("Where", low, f64(0.0), mean)
        ended = graph.op("Where", high, f64(1.0), inner)
        outputs.append(graph.op("Where", graph.op("IsNaN", x), x, ended))
    return Table.of(single(graph, concat(graph, outputs)), rows.width)


@lowers("transform", "SplineTransformer")
def _lower_spline_transformer(estimator: SplineTransformer, graph: Graph, rows: Table) -> Table:
    """Evaluate splines: each piece is a polynomial whose coefficients are looked up."""
    if estimator.extrapolation != "constant":
        raise UnsupportedModel("SplineTransformer: only extrapolation='constant' can be converted")
    parts = _columns(graph, doubles(graph, rows), rows.width)
    count = int(estimator.bsplines_[0].c.shape[1])
    outputs = [
        _spline_basis(graph, s, x, count) for x, s in zip(parts, estimator.bsplines_, strict=True)
    ]
    if estimator.include_bias:
        return Table.of(single(graph, concat(graph, outputs)), rows.width * count)
    inner = np.array([i for i in range(rows.width * count) if (i + 1) % count], np.int64)
    whole = single(graph, concat(graph, outputs))
    return Table.of(graph.op("Gather", whole, inner, axis=1), len(inner))


def _spline_basis(graph: Graph, spline: Any, x: str, count: int) -> str:
    """Return all basis functions of one column, float64 [N, count]."""
    from scipy.interpolate import PPoly

    degree = spline.k
    knots = spline.t[degree : len(spline.t) - degree]
    pieces = [PPoly.from_spline((spline.t, spline.c[:, i], degree)) for i in range(count)]
    table = np.stack([p.c[:, degree : degree + len(knots) - 1] for p in pieces], axis=-1)
    # Clipped: extrapolation is constant.
    inside = graph.op("Min", graph.op("Max", x, f64(knots[0])), f64(knots[-1]))
    index = registry.flat(graph, count_not_above(graph, inside, knots[1:-1]))
    start = registry.column(graph, graph.op("Gather", f64(knots[:-1]), index))
    offset = graph.op("Sub", inside, start)
    value = graph.op("Gather", np.ascontiguousarray(table[0]), index)
    for power in table[1:]:  # Horner's rule, highest power first
        more = graph.op("Gather", np.ascontiguousarray(power), index)
        value = graph.op("Add", graph.op("Mul", value, offset), more)
    return value


@lowers("transform", "KernelCenterer")
def _lower_kernel_centerer(estimator: KernelCenterer, graph: Graph, rows: Table) -> Table:
    x = doubles(graph, rows)
    mean = graph.op("Div", total(graph, x), f64(len(estimator.K_fit_rows_)))
    shifted = graph.op("Sub", graph.op("Sub", x, f64(estimator.K_fit_rows_)[None]), mean)
    return Table.of(single(graph, graph.op("Add", shifted, f64(estimator.K_fit_all_))), rows.width)
