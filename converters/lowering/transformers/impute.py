"""Imputers and missing-value indicators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel
from converters.lowering import registry
from converters.lowering.graph import BOOL, DOUBLE, FLOAT, ML, STRING, Graph
from converters.lowering.maths import concat, exact_scores, f32, f64, total
from converters.lowering.registry import as_float, lowers
from converters.lowering.table import Block, Table, common_kind, joined, pick, side_by_side
from edge_sdk.model.schema import MISSING_TEXT
from edge_sdk.model.values import is_missing

if TYPE_CHECKING:
    from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer


def missing(estimator: Any, graph: Graph, x: str, kind: int = FLOAT) -> str:
    """Return True where a tensor has the estimator's marker of a missing value.

    Args:
        estimator: an imputer or indicator with ``missing_values``.
        graph: the graph to write into.
        x: floats [N, k].
        kind: ONNX element type of ``x``.
    """
    marker = estimator.missing_values
    if isinstance(marker, float) and np.isnan(marker):
        return graph.op("IsNaN", x)
    if not isinstance(marker, int | float | np.number):
        raise UnsupportedModel(
            f"{type(estimator).__name__}: missing_values={marker!r} cannot be converted"
        )
    return graph.op("Equal", x, np.float32(marker) if kind == FLOAT else np.float64(marker))


def indicator(estimator: Any, graph: Graph, gaps: str) -> Table | None:
    """Return the columns that ``add_indicator`` adds, if it adds any.

    Args:
        estimator: a fitted imputer.
        graph: the graph to write into.
        gaps: True where a value is missing, [N, k].
    """
    if not estimator.add_indicator or estimator.indicator_ is None:
        return None
    places = np.asarray(estimator.indicator_.features_, np.int64)
    if len(places) == 0:
        return None
    return Table.of(as_float(graph, graph.op("Gather", gaps, places, axis=1)), len(places))


def _with_indicator(estimator: Any, graph: Graph, filled: Table, gaps: str) -> Table:
    added = indicator(estimator, graph, gaps)
    if added is None:
        return filled
    kind = filled.blocks[0].kind
    together = side_by_side([filled, added])
    return Table.of(joined(graph, together, kind), together.width, kind)


@lowers("transform", "MissingIndicator")
def _lower_missing_indicator(estimator: MissingIndicator, graph: Graph, rows: Table) -> Table:
    kind = _kind(graph, rows)
    gaps = missing(estimator, graph, joined(graph, rows, kind), kind)
    places = np.asarray(estimator.features_, np.int64)
    chosen = graph.op("Gather", gaps, places, axis=1)
    return Table((Block(chosen, BOOL, len(places)),))


@lowers("transform", "SimpleImputer")
def _lower_simple_imputer(estimator: SimpleImputer, graph: Graph, rows: Table) -> Table:
    if any(block.kind == STRING for block in rows.blocks):
        return _impute_text(estimator, graph, rows)
    statistics = np.asarray(estimator.statistics_, dtype=np.float64)
    kind = common_kind(rows) if graph.faithful else FLOAT
    # A column without any value in training has NaN as its statistic; constants must be finite.
    x, fill = joined(graph, rows, kind), np.nan_to_num(statistics)[None]
    gaps = missing(estimator, graph, x, kind)
    filled = graph.op("Where", gaps, f32(fill) if kind == FLOAT else fill, x)
    columns = np.flatnonzero(~np.isnan(statistics))
    if len(columns) < rows.width and not estimator.keep_empty_features:
        filled = graph.op("Gather", filled, columns.astype(np.int64), axis=1)
    else:  # columns that had no value in training stay, and are statistics with 0
        columns = np.arange(rows.width)
    return _with_indicator(estimator, graph, Table.of(filled, len(columns), kind), gaps)


def _impute_text(estimator: Any, graph: Graph, rows: Table) -> Table:
    """Fill text columns where the marker of a missing value stands."""
    if not is_missing(estimator.missing_values):
        raise UnsupportedModel(
            "SimpleImputer: of text, only missing_values=NaN or None can be converted"
        )
    blocks, gaps = [], []
    for i, fill in enumerate(estimator.statistics_):
        one = pick(graph, rows, [i]).blocks[0]
        if one.kind != STRING or not isinstance(fill, str):
            raise UnsupportedModel(
                "SimpleImputer: columns of text among numbers cannot be converted"
            )
        marked = graph.op(
            "LabelEncoder", one.tensor, domain=ML, keys_strings=[MISSING_TEXT],
            values_int64s=[1], default_int64=0,
        )  # fmt: skip
        gaps.append(graph.cast(marked, BOOL))
        text = np.array([[fill]], dtype=object)
        blocks.append(Block(graph.op("Where", gaps[-1], text, one.tensor), STRING, 1))
    added = indicator(estimator, graph, concat(graph, gaps))
    return Table((*blocks, *(added.blocks if added else ())))


@lowers("transform", "IterativeImputer")
def _lower_iterative_imputer(estimator: IterativeImputer, graph: Graph, rows: Table) -> Table:
    """Predict each column that may lack values from the others, round after round."""
    if estimator.sample_posterior:
        raise UnsupportedModel("IterativeImputer: sample_posterior answers at random")
    kind = _kind(graph, rows)
    x = joined(graph, rows, kind)
    gaps = missing(estimator, graph, x, kind)
    start = registry.transform(estimator.initial_imputer_, graph, Table.of(x, rows.width, kind))
    if start.width != rows.width:
        raise UnsupportedModel("IterativeImputer: columns without any value cannot be converted")
    values = _split(graph, joined(graph, start, kind), rows.width)
    holes = _split(graph, gaps, rows.width)
    # The rounds are unrolled: each reads the values that the steps before it left.
    for step in estimator.imputation_sequence_:
        j = step.feat_idx
        others = concat(graph, [values[int(i)] for i in step.neighbor_feat_idx])
        table = Table.of(others, len(step.neighbor_feat_idx), kind)
        estimate = graph.cast(_estimate(step.estimator, graph, table), kind)
        constant = f32 if kind == FLOAT else f64
        low, high = constant(estimator._min_value[j]), constant(estimator._max_value[j])
        clipped = graph.op("Min", graph.op("Max", estimate, low), high)
        values[j] = graph.op("Where", holes[j], clipped, values[j])
    filled = Table.of(concat(graph, values), rows.width, kind)
    return _with_indicator(estimator, graph, filled, gaps)


def _kind(graph: Graph, rows: Table) -> int:
    return common_kind(rows) if graph.faithful else FLOAT


def _estimate(estimator: Any, graph: Graph, rows: Table) -> str:
    """Return the prediction of a linear model in float64 where it must be exact."""
    if graph.faithful and hasattr(estimator, "coef_"):
        return exact_scores(graph, rows, np.atleast_2d(estimator.coef_).T, estimator.intercept_)
    return registry.predict(estimator, graph, rows)


def _split(graph: Graph, x: str, width: int) -> list[str]:
    return graph.ops("Split", x, outputs=width, axis=1, num_outputs=width) if width > 1 else [x]


@lowers("transform", "KNNImputer")
def _lower_knn_imputer(estimator: KNNImputer, graph: Graph, rows: Table) -> Table:
    """Fill each column from the nearest training rows that have it."""
    if estimator.weights != "uniform" or estimator.metric != "nan_euclidean":
        raise UnsupportedModel(
            "KNNImputer: only uniform weights and nan_euclidean can be converted"
        )
    _refuse_ties(estimator)
    kind = _kind(graph, rows)
    x = joined(graph, rows, kind)
    gaps = missing(estimator, graph, x, kind)
    far = _nan_euclidean(estimator, graph, x, gaps, rows.width)
    values, holes = _split(graph, x, rows.width), _split(graph, gaps, rows.width)
    columns = []
    for j in np.flatnonzero(estimator._valid_mask):
        estimate = graph.cast(_donated_mean(estimator, graph, far, int(j)), kind)
        columns.append(graph.op("Where", holes[j], estimate, values[j]))
    filled = Table.of(concat(graph, columns), len(columns), kind)
    return _with_indicator(estimator, graph, filled, gaps)


TRIED: Final = 300
"""Training rows whose neighbours are looked at for ties."""


def _refuse_ties(estimator: Any) -> None:
    """Refuse training rows at equal distances: which of them counts is up to the processor.

    NumPy's selection of the nearest takes any of them, another one on other machines.
    """
    fitted, absent = estimator._fit_X, estimator._mask_fit_X
    some = np.linspace(0, len(fitted) - 1, min(TRIED, len(fitted))).astype(int)
    for j in np.flatnonzero(estimator._valid_mask):
        donors = np.flatnonzero(~absent[:, j])
        count = min(estimator.n_neighbors, len(donors))
        asked = np.where(absent, np.nan, fitted)[some]
        asked[:, j] = np.nan
        far = _distances_with_holes(asked, np.where(absent, np.nan, fitted)[donors])
        # The row itself is among its neighbours; without it, as a row that comes would be.
        far[donors[None] == some[:, None]] = np.inf
        order = np.argsort(far, axis=1, kind="stable")[:, : count + 1]
        near = np.take_along_axis(far, order, axis=1)
        if count < near.shape[1] and _are_ties(near[:, count - 1], near[:, count]).any():
            raise UnsupportedModel(
                "KNNImputer: some training rows are equally far from a row that lacks a value, and "
                "which of them it is filled from is left to chance; use IterativeImputer or "
                "SimpleImputer"
            )


def _distances_with_holes(rows: Any, points: Any) -> NDArray[np.float64]:
    from sklearn.metrics.pairwise import nan_euclidean_distances

    far: NDArray[np.float64] = nan_euclidean_distances(rows, points)
    return np.nan_to_num(far, nan=np.inf)


def _are_ties(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.isfinite(other) & (other - one <= 1e-9 * other)


def _nan_euclidean(estimator: Any, graph: Graph, x: str, gaps: str, width: int) -> str:
    """Return distances over the coordinates that both rows have, float64 [N, M].

    They are scaled up to all coordinates, and infinite where there is none in common.
    """
    values_there = f64(np.where(estimator._mask_fit_X, 0.0, estimator._fit_X))
    there = f64(~estimator._mask_fit_X)
    here = graph.cast(graph.op("Not", gaps), DOUBLE)
    own = graph.op("Where", gaps, f64(0.0), graph.cast(x, DOUBLE))
    # Masks as factors: a product with ``there`` or ``here`` sums over common coordinates alone. All
    # is added up in scikit-learn's order, so that equal distances stay equal.
    squares, others = graph.op("Mul", own, own), values_there**2
    apart = graph.op("MatMul", own, np.ascontiguousarray(-2 * values_there.T))
    apart = graph.op("Add", graph.op("Add", apart, total(graph, squares)), others.sum(axis=1)[None])
    apart = graph.op("Max", apart, f64(0.0))
    apart = graph.op("Sub", apart, graph.op("MatMul", squares, np.ascontiguousarray(1 - there.T)))
    absent = graph.op("Sub", f64(1.0), here)
    apart = graph.op("Sub", apart, graph.op("MatMul", absent, np.ascontiguousarray(others.T)))
    both = graph.op("MatMul", here, np.ascontiguousarray(there.T))
    common = graph.op("Max", both, f64(1.0))
    scaled = graph.op("Div", graph.op("Max", apart, f64(0.0)), common)
    scaled = graph.op("Mul", scaled, f64(float(width)))
    return graph.op(
        "Where", graph.op("Equal", both, f64(0.0)), f64(np.inf), graph.op("Sqrt", scaled)
    )


def _donated_mean(estimator: Any, graph: Graph, far: str, j: int) -> str:
    """Return the mean of column ``j`` over the nearest donors, or all if none is near: float64."""
    donors = np.flatnonzero(~estimator._mask_fit_X[:, j])
    count = min(estimator.n_neighbors, len(donors))
    some = graph.op("Gather", far, donors.astype(np.int64), axis=1)
    near, index = graph.ops("TopK", some, np.array([count], np.int64), outputs=2, axis=1, largest=0)
    # With fewer comparable donors than neighbours, TopK returns some at an infinite distance.
    real = graph.cast(graph.op("Less", near, f64(np.inf)), DOUBLE)
    values = graph.op("Gather", f64(estimator._fit_X[donors, j]), index)
    amount = total(graph, real)
    mean = graph.op("Div", total(graph, graph.op("Mul", values, real)), amount)
    alone = graph.op("Equal", amount, f64(0.0))
    return graph.op("Where", alone, f64(estimator._fit_X[donors, j].mean()), mean)
