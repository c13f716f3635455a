"""Encoders of categories.

The output for each category is computed by the encoder itself, once, while converting. So dropped,
grouped and missing categories come out exactly as it has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnsupportedModel
from converters.lowering.graph import FLOAT, INT64, ML, STRING, Graph
from converters.lowering.maths import concat, f32
from converters.lowering.registry import as_float, lowers
from converters.lowering.table import Block, Table, pick
from edge_sdk.model.schema import MISSING_TEXT
from edge_sdk.model.values import is_missing

if TYPE_CHECKING:
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder


@lowers("transform", "OneHotEncoder")
def _lower_one_hot_encoder(estimator: OneHotEncoder, graph: Graph, rows: Table) -> Table:
    encoded, width = [], 0
    for i, categories in enumerate(estimator.categories_):
        columns = int(estimator._n_features_outs[i])
        places = _category_columns(estimator, i, categories, columns)
        other = _column_of_unseen(estimator, i, columns)
        if columns:
            place = index_of(graph, pick(graph, rows, [i]).blocks[0], categories, places, other)
            same = graph.op("Equal", place, np.arange(columns, dtype=np.int64)[None])
            encoded.append(as_float(graph, same))
            width += columns
    if not encoded:
        raise UnsupportedModel("OneHotEncoder: gives no columns")
    return Table.of(concat(graph, encoded), width)


def _category_columns(estimator: Any, i: int, categories: NDArray[Any], columns: int) -> list[int]:
    """Return the output column of each category of feature ``i``; -1 for none."""
    start = int(np.sum(estimator._n_features_outs[:i]))
    part = _encoded_categories(estimator, i, categories)[:, start : start + columns]
    return [int(row.argmax()) if row.any() else -1 for row in part]


def _encoded_categories(estimator: Any, i: int, categories: NDArray[Any]) -> NDArray[Any]:
    """Encode each category of feature ``i``, the other features at their first category.

    Returns:
        [categories, outputs].
    """
    grid = np.empty((len(categories), len(estimator.categories_)), dtype=object)
    for j, others in enumerate(estimator.categories_):
        grid[:, j] = categories if j == i else others[0]
    table = estimator.transform(_as_fitted(grid, estimator))
    return np.asarray(table.toarray() if hasattr(table, "toarray") else table)


def _as_fitted(grid: NDArray[Any], estimator: Any) -> Any:
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        import pandas

        frame = pandas.DataFrame({name: grid[:, j] for j, name in enumerate(names)})
        kinds = [categories.dtype for categories in estimator.categories_]
        numeric = {n: k for n, k in zip(names, kinds, strict=True) if k.kind in "biuf"}
        return frame.astype(numeric)
    if all(categories.dtype.kind in "biuf" for categories in estimator.categories_):
        return grid.astype(
            np.result_type(*(categories.dtype for categories in estimator.categories_))
        )
    return grid


def _column_of_unseen(estimator: Any, i: int, columns: int) -> int:
    """Return the column of a category that training did not have: the rare ones', or -1."""
    if estimator.handle_unknown not in ("infrequent_if_exist", "warn"):
        return -1
    rare = getattr(estimator, "_infrequent_indices", None)
    if rare is None or rare[i] is None:
        return -1
    return columns - 1


@lowers("transform", "OrdinalEncoder")
def _lower_ordinal_encoder(estimator: OrdinalEncoder, graph: Graph, rows: Table) -> Table:
    encoded = []
    other = np.nan if estimator.handle_unknown == "error" else float(estimator.unknown_value)
    for i, categories in enumerate(estimator.categories_):
        numbers = _encoded_categories(estimator, i, categories)[:, i].astype(np.float64)
        one = pick(graph, rows, [i]).blocks[0]
        encoded.append(look_up(graph, one, categories, f32(numbers), other))
    return Table.of(concat(graph, encoded), len(encoded))


@lowers("transform", "TargetEncoder")
def _lower_target_encoder(estimator: TargetEncoder, graph: Graph, rows: Table) -> Table:
    """Look up the mean target of each category; of an unseen one, that of all rows."""
    several = len(estimator.classes_) if estimator.target_type_ == "multiclass" else 1
    fallback = np.atleast_1d(estimator.target_mean_)
    encoded = []
    for i, categories in enumerate(estimator.categories_):
        one = pick(graph, rows, [i]).blocks[0]
        for c in range(several):
            values = estimator.encodings_[i * several + c]
            other = float(fallback[c % len(fallback)])
            encoded.append(look_up(graph, one, categories, f32(values), other))
    return Table.of(concat(graph, encoded), len(encoded))


def index_of(
    graph: Graph, column: Block, categories: NDArray[Any], places: list[int], other: int
) -> str:
    """Return the place of each row's category, int64 [N, 1].

    Args:
        graph: the graph to write into.
        column: a column [N, 1] of categories.
        categories: the categories, [k].
        places: the place of each, [k].
        other: place of every other value.
    """
    if column.kind == STRING:
        return _look_up_text(graph, column, categories, values_int64s=places, default_int64=other)
    table = f32(np.array([*places, other], dtype=np.float64) - other)
    member = _category_mask(graph, column, categories)
    # At most one category matches, so the product adds one place, or nothing, to ``other``.
    place = graph.op("Add", graph.op("MatMul", member, table[:-1, None]), np.float32(other))
    return graph.cast(place, INT64)


def look_up(
    graph: Graph, column: Block, categories: NDArray[Any], values: Any, other: float
) -> str:
    """Return the value of each row's category, float32 [N, 1].

    Args:
        graph: the graph to write into.
        column: a column [N, 1] of categories.
        categories: the categories, [k].
        values: the value of each, [k].
        other: value of every other category.
    """
    if column.kind == STRING:
        numbers = [float(value) for value in values]
        return _look_up_text(
            graph, column, categories, values_floats=numbers, default_float=float(other)
        )
    member = _category_mask(graph, column, categories)
    table = np.append(np.asarray(values, np.float64), other)
    if np.isfinite(table).all():
        value = graph.op("MatMul", member, f32(table[:-1] - other)[:, None])
        return graph.op("Add", value, np.float32(other))
    # NaN would spread through a product: find the place, then gather.
    count = len(categories)
    places = graph.op("MatMul", member, f32(np.arange(count) - count)[:, None])
    index = graph.cast(graph.op("Add", places, np.float32(count)), INT64)
    return graph.op("Gather", f32(table), index)


def _category_mask(graph: Graph, column: Block, categories: NDArray[Any]) -> str:
    """Return 1.0 where a number is a category, else 0.0: float32 [N, categories]."""
    if column.kind == INT64:
        return as_float(
            graph, graph.op("Equal", column.tensor, np.asarray(categories, np.int64)[None])
        )
    # NaN is a category like others, and equals nothing: it is looked for by itself.
    numbers = np.asarray(categories, dtype=np.float64)
    x = graph.cast(column.tensor, FLOAT)
    same = graph.op("Equal", x, f32(np.nan_to_num(numbers))[None])
    gaps = np.isnan(numbers)
    if gaps.any():
        same = graph.op("Where", gaps[None], graph.op("IsNaN", x), same)
    return as_float(graph, same)


def _look_up_text(graph: Graph, column: Block, categories: NDArray[Any], **answers: Any) -> str:
    """Look up a column of texts among the categories, as a text tensor spells them."""
    keys = [MISSING_TEXT if is_missing(k) else str(k) for k in categories]
    return graph.op("LabelEncoder", column.tensor, domain=ML, keys_strings=keys, **answers)
