"""Categories to numbers.

What an encoder makes of each category is asked of the encoder itself, so dropped, grouped and
missing categories come out as it has them.
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
from edge_sdk.telemetry.histograms import is_missing

if TYPE_CHECKING:
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder


@lowers("transform", "OneHotEncoder")
def _lower_one_hot_encoder(estimator: OneHotEncoder, graph: Graph, rows: Table) -> Table:
    made, width = [], 0
    for i, known in enumerate(estimator.categories_):
        columns = int(estimator._n_features_outs[i])
        places = _category_columns(estimator, i, known, columns)
        other = _column_of_unseen(estimator, i, columns)
        if columns:
            found = index_of(graph, pick(graph, rows, [i]).blocks[0], known, places, other)
            same = graph.op("Equal", found, np.arange(columns, dtype=np.int64)[None])
            made.append(as_float(graph, same))
            width += columns
    if not made:
        raise UnsupportedModel("OneHotEncoder: gives no columns")
    return Table.of(concat(graph, made), width)


def _category_columns(estimator: Any, i: int, known: NDArray[Any], columns: int) -> list[int]:
    """The column of each category of feature ``i``; -1 for none."""
    start = int(np.sum(estimator._n_features_outs[:i]))
    part = _encoded_categories(estimator, i, known)[:, start : start + columns]
    return [int(row.argmax()) if row.any() else -1 for row in part]


def _encoded_categories(estimator: Any, i: int, known: NDArray[Any]) -> NDArray[Any]:
    """What the encoder itself makes of each category of feature ``i``, the other features at their
    first: [categories, outputs].
    """
    grid = np.empty((len(known), len(estimator.categories_)), dtype=object)
    for j, others in enumerate(estimator.categories_):
        grid[:, j] = known if j == i else others[0]
    table = estimator.transform(_as_fitted(grid, estimator))
    return np.asarray(table.toarray() if hasattr(table, "toarray") else table)


def _as_fitted(grid: NDArray[Any], estimator: Any) -> Any:
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        import pandas

        made = pandas.DataFrame({name: grid[:, j] for j, name in enumerate(names)})
        kinds = [known.dtype for known in estimator.categories_]
        numeric = {n: k for n, k in zip(names, kinds, strict=True) if k.kind in "biuf"}
        return made.astype(numeric)
    if all(known.dtype.kind in "biuf" for known in estimator.categories_):
        return grid.astype(np.result_type(*(known.dtype for known in estimator.categories_)))
    return grid


def _column_of_unseen(estimator: Any, i: int, columns: int) -> int:
    """The column of a category that was not seen: that of the rare ones, or none."""
    if estimator.handle_unknown not in ("infrequent_if_exist", "warn"):
        return -1
    rare = getattr(estimator, "_infrequent_indices", None)
    if rare is None or rare[i] is None:
        return -1
    return columns - 1


@lowers("transform", "OrdinalEncoder")
def _lower_ordinal_encoder(estimator: OrdinalEncoder, graph: Graph, rows: Table) -> Table:
    made = []
    other = np.nan if estimator.handle_unknown == "error" else float(estimator.unknown_value)
    for i, known in enumerate(estimator.categories_):
        numbers = _encoded_categories(estimator, i, known)[:, i].astype(np.float64)
        one = pick(graph, rows, [i]).blocks[0]
        made.append(look_up(graph, one, known, f32(numbers), other))
    return Table.of(concat(graph, made), len(made))


@lowers("transform", "TargetEncoder")
def _lower_target_encoder(estimator: TargetEncoder, graph: Graph, rows: Table) -> Table:
    """Each category's mean target; that of all rows for a category that was not seen."""
    several = len(estimator.classes_) if estimator.target_type_ == "multiclass" else 1
    fallback = np.atleast_1d(estimator.target_mean_)
    made = []
    for i, known in enumerate(estimator.categories_):
        one = pick(graph, rows, [i]).blocks[0]
        for c in range(several):
            values = estimator.encodings_[i * several + c]
            other = float(fallback[c % len(fallback)])
            made.append(look_up(graph, one, known, f32(values), other))
    return Table.of(concat(graph, made), len(made))


def index_of(graph: Graph, one: Block, known: NDArray[Any], places: list[int], other: int) -> str:
    """int64 [N, 1]: the place of each category of a column, ``other`` for what is not known."""
    if one.kind == STRING:
        return _look_up_text(graph, one, known, values_int64s=places, default_int64=other)
    table = f32(np.array([*places, other], dtype=np.float64) - other)
    member = _category_mask(graph, one, known)
    found = graph.op("Add", graph.op("MatMul", member, table[:-1, None]), np.float32(other))
    return graph.cast(found, INT64)


def look_up(graph: Graph, one: Block, known: NDArray[Any], values: Any, other: float) -> str:
    """float32 [N, 1]: the value of each category of a column, ``other`` for what is not known."""
    if one.kind == STRING:
        numbers = [float(value) for value in values]
        return _look_up_text(graph, one, known, values_floats=numbers, default_float=float(other))
    member = _category_mask(graph, one, known)
    table = np.append(np.asarray(values, np.float64), other)
    if np.isfinite(table).all():
        found = graph.op("MatMul", member, f32(table[:-1] - other)[:, None])
        return graph.op("Add", found, np.float32(other))
    # NaN would spread through a product: find the place, then gather.
    count = len(known)
    places = graph.op("MatMul", member, f32(np.arange(count) - count)[:, None])
    index = graph.cast(graph.op("Add", places, np.float32(count)), INT64)
    return graph.op("Gather", f32(table), index)


def _category_mask(graph: Graph, one: Block, known: NDArray[Any]) -> str:
    """float32 [N, categories] of a column of numbers: 1 where it is that category."""
    if one.kind == INT64:
        return as_float(graph, graph.op("Equal", one.tensor, np.asarray(known, np.int64)[None]))
    numbers = np.asarray(known, dtype=np.float64)
    x = graph.cast(one.tensor, FLOAT)
    same = graph.op("Equal", x, f32(np.nan_to_num(numbers))[None])
    gaps = np.isnan(numbers)
    if gaps.any():
        same = graph.op("Where", gaps[None], graph.op("IsNaN", x), same)
    return as_float(graph, same)


def _look_up_text(graph: Graph, one: Block, known: NDArray[Any], **answers: Any) -> str:
    """A column of texts looked up among the categories, as a text tensor has them."""
    keys = [MISSING_TEXT if is_missing(k) else str(k) for k in known]
    return graph.op("LabelEncoder", one.tensor, domain=ML, keys_strings=keys, **answers)
