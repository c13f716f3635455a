"""Scalers, in two ways.

Before a linear model a float32 Scaler is fast and exact enough. Before trees or neighbours it is
not: a value that is rounded otherwise may fall on the other side of a threshold. There each step
is computed in the type and order in which scikit-learn computes it, so both see the same number.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from converters.lowering import skl2onnx_fallback
from converters.lowering.graph import DOUBLE, FLOAT, Graph
from converters.lowering.registry import form
from converters.lowering.table import Table, joined

_SHARP: Final = ("Tree", "Forest", "Boost", "LGBM", "XGB", "CatBoost", "Neighbors", "KNN")
"""Parts of names of estimators that answer otherwise on another side of a threshold."""


def is_sharp(names: list[str]) -> bool:
    """Whether a model made of these estimators needs what goes in bit by bit."""
    return any(part in name for name in names for part in _SHARP)


def common_kind(rows: Table) -> int:
    """The type to which NumPy takes these columns: float32 alone stays, with integers float64."""
    return FLOAT if all(block.kind == FLOAT for block in rows.blocks) else DOUBLE


@form("transform", "StandardScaler")
def _standard(graph: Graph, model: Any, rows: Table) -> Table:
    steps = []
    if model.with_mean:
        steps.append(("Sub", model.mean_))
    if model.with_std:
        steps.append(("Div", model.scale_))
    return _stepwise(graph, model, rows, steps, own_type=True)


@form("transform", "RobustScaler")
def _robust(graph: Graph, model: Any, rows: Table) -> Table:
    steps = []
    if model.with_centering:
        steps.append(("Sub", model.center_))
    if model.with_scaling:
        steps.append(("Div", model.scale_))
    return _stepwise(graph, model, rows, steps)


@form("transform", "MaxAbsScaler")
def _largest(graph: Graph, model: Any, rows: Table) -> Table:
    if getattr(model, "clip", False):
        return skl2onnx_fallback.transform(graph, model, rows)
    return _stepwise(graph, model, rows, [("Div", model.scale_)])


@form("transform", "MinMaxScaler")
def _range(graph: Graph, model: Any, rows: Table) -> Table:
    if model.clip:
        return skl2onnx_fallback.transform(graph, model, rows)
    return _stepwise(graph, model, rows, [("Mul", model.scale_), ("Add", model.min_)])


def _stepwise(
    graph: Graph, model: Any, rows: Table, steps: list[tuple[str, Any]], *, own_type: bool = False
) -> Table:
    """Each step in float64 and rounded to the type of the rows; or in that type itself."""
    if not graph.faithful or not rows.numeric or not steps:
        return skl2onnx_fallback.transform(graph, model, rows) if steps else rows
    kind = common_kind(rows)
    dtype = np.float32 if own_type and kind == FLOAT else np.float64
    x = joined(graph, rows, kind)
    for name, values in steps:
        if dtype == np.float64 and kind == FLOAT:
            wide = graph.op(name, graph.cast(x, DOUBLE), np.asarray(values, dtype)[None])
            x = graph.cast(wide, FLOAT)
        else:
            x = graph.op(name, x, np.asarray(values, dtype)[None])
    return Table.of(x, rows.width, kind)
