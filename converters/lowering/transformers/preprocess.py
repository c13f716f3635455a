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
    snapped,
    total,
)
from converters.lowering.registry import as_float, lowers
from converters.lowering.table import Table, outcome, pick, small_integers
from converters.lowering.transformers.functions import apply_ufunc, normal_quantile
from converters.lowering.transformers.shapes import inverse_power

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


@lowers("transform", "FunctionTransformer")
def _lower_function_transformer(estimator: FunctionTransformer, graph: Graph, rows: Table) -> Table:
    if estimator.func is None:
        return rows
    if estimator.kw_args:
        raise UnsupportedModel("FunctionTransformer: kw_args cannot be converted")
    try:
        values = apply_ufunc(graph, estimator.func, doubles(graph, rows))
    except UnsupportedModel as error:
        raise UnsupportedModel(f"FunctionTransformer: {error}") from error
    return outcome(graph, rows, values, rows.width)


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
    if kind == "PowerTransformer":
        return single(graph, inverse_power(inverse, graph, x))
    if kind == "QuantileTransformer" and inverse.output_distribution == "uniform":
        return single(graph, _inverse_quantiles(inverse, graph, x))
    if kind in ("MinMaxScaler", "RobustScaler", "StandardScaler"):
        scale, offset = _inverse_scaling(inverse, kind)
        line = graph.op("Add", graph.op("Mul", x, f64(scale)), f64(offset))
        return single(graph, line)
    raise UnsupportedModel(f"TransformedTargetRegressor: the inverse of {kind} cannot be converted")


def _inverse_quantiles(estimator: Any, graph: Graph, x: str) -> str:
    """Return the values of shares, float64 [N, k]."""
    parts = _columns(graph, x, estimator.quantiles_.shape[1])
    values = [
        interpolate(graph, part, estimator.references_, estimator.quantiles_[:, i])
        for i, part in enumerate(parts)
    ]
    return concat(graph, values)


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
        count_not_above(graph, snapped(graph, x, e[1:-1]), e[1:-1])
        for x, e in zip(parts, estimator.bin_edges_, strict=True)
    ]
    if estimator.encode == "ordinal":
        return small_integers(graph, as_float(graph, concat(graph, bins)), rows.width)
    outputs = [
        as_float(graph, graph.op("Equal", x, np.arange(n, dtype=np.int64)[None]))
        for x, n in zip(bins, estimator.n_bins_, strict=True)
    ]
    return small_integers(graph, concat(graph, outputs), int(np.sum(estimator.n_bins_)))


@lowers("transform", "QuantileTransformer")
def _lower_quantile_transformer(estimator: QuantileTransformer, graph: Graph, rows: Table) -> Table:
    """Average interpolations from both sides, as scikit-learn does: quantiles may repeat."""
    normal = estimator.output_distribution == "normal"
    outputs = []
    for i, x in enumerate(_columns(graph, doubles(graph, rows), rows.width)):
        share = _share_below(estimator, graph, x, i)
        value = _normal_score(graph, share) if normal else share
        outputs.append(graph.op("Where", graph.op("IsNaN", x), x, value))
    return outcome(graph, rows, concat(graph, outputs), rows.width)


def _share_below(estimator: Any, graph: Graph, x: str, i: int) -> str:
    """Return the share of training values below ``x`` [N, 1], those of column ``i``."""
    quantiles = estimator.quantiles_[:, i]
    x = snapped(graph, x, quantiles)
    ahead = interpolate(graph, x, quantiles, estimator.references_)
    # The second one runs over the mirrored quantiles, so that repeats resolve the other way.
    turned = graph.op("Neg", x)
    back = interpolate(graph, turned, -quantiles[::-1], -estimator.references_[::-1])
    mean = graph.op("Mul", graph.op("Sub", ahead, back), f64(0.5))
    if estimator.output_distribution == "normal":
        low = graph.op("Less", graph.op("Sub", x, f64(_END)), f64(quantiles[0]))
        high = graph.op("Greater", graph.op("Add", x, f64(_END)), f64(quantiles[-1]))
    else:
        low, high = (graph.op("Equal", x, f64(quantiles[end])) for end in (0, -1))
    upper = graph.op("Where", high, f64(1.0), mean)
    return graph.op("Where", low, f64(0.0), upper)


_END: Final = 1e-7
"""Values this close to an end count as the end (``BOUNDS_THRESHOLD`` in scikit-learn)."""


def _normal_score(graph: Graph, share: str) -> str:
    """Return the normal quantile of shares, clipped as scikit-learn clips it."""
    from scipy.stats import norm

    low, high = (float(norm.ppf(p)) for p in (_END - np.spacing(1), 1 - (_END - np.spacing(1))))
    # Clipped before, too: the quantiles of 0 and 1 are not finite.
    inside = graph.op("Min", graph.op("Max", share, f64(_END / 2)), f64(1 - _END / 2))
    score = normal_quantile(graph, inside)
    return graph.op("Min", graph.op("Max", score, f64(low)), f64(high))


@lowers("transform", "SplineTransformer")
def _lower_spline_transformer(estimator: SplineTransformer, graph: Graph, rows: Table) -> Table:
    """Evaluate splines: each piece is a polynomial whose coefficients are looked up."""
    parts = _columns(graph, doubles(graph, rows), rows.width)
    count = int(estimator.bsplines_[0].c.shape[1])
    outputs = [
        _spline_basis(graph, s, x, count, estimator.extrapolation)
        for x, s in zip(parts, estimator.bsplines_, strict=True)
    ]
    whole = concat(graph, outputs)
    if estimator.include_bias:
        return outcome(graph, rows, whole, rows.width * count)
    inner = np.array([i for i in range(rows.width * count) if (i + 1) % count], np.int64)
    return outcome(graph, rows, graph.op("Gather", whole, inner, axis=1), len(inner))


def _spline_basis(graph: Graph, spline: Any, x: str, count: int, beyond: str) -> str:
    """Return all basis functions of one column, float64 [N, count].

    Args:
        graph: the graph to write into.
        spline: SciPy's ``BSpline``.
        x: the column, float64 [N, 1].
        count: number of basis functions.
        beyond: what the values are beyond the knots, as scikit-learn calls it.
    """
    from scipy.interpolate import PPoly

    degree = spline.k
    knots = spline.t[degree : len(spline.t) - degree]
    pieces = [PPoly.from_spline((spline.t, spline.c[:, i], degree)) for i in range(count)]
    table = np.stack([p.c[:, degree : degree + len(knots) - 1] for p in pieces], axis=-1)
    low, high = f64(knots[0]), f64(knots[-1])
    inside = graph.op("Min", graph.op("Max", x, low), high)
    if beyond == "continue":
        inside = x
    elif beyond == "periodic":
        turns = graph.op("Floor", graph.op("Div", graph.op("Sub", x, low), f64(high - low)))
        inside = graph.op("Sub", x, graph.op("Mul", turns, f64(high - low)))
    value = _piecewise(graph, inside, knots, table)
    if beyond != "linear":
        return value
    slopes = [f64(spline(end, nu=1))[None] for end in (knots[0], knots[-1])]
    slope = graph.op("Where", graph.op("Less", x, low), *slopes)
    return graph.op("Add", value, graph.op("Mul", graph.op("Sub", x, inside), slope))


def _piecewise(graph: Graph, x: str, knots: Any, table: Any) -> str:
    """Return polynomials between knots: ``table`` has [powers, pieces, functions]."""
    index = registry.flat(graph, count_not_above(graph, x, knots[1:-1]))
    start = registry.column(graph, graph.op("Gather", f64(knots[:-1]), index))
    offset = graph.op("Sub", x, start)
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
    return outcome(graph, rows, graph.op("Add", shifted, f64(estimator.K_fit_all_)), rows.width)
