"""Scalers, in two ways.

Before a linear model a float32 Scaler is fast and exact enough. Before trees or neighbours it is
not: a value that is rounded otherwise may fall on the other side of a threshold. There each step
is computed in the type and order in which scikit-learn computes it, so both see the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from converters.lowering import skl2onnx_fallback
from converters.lowering.graph import DOUBLE, FLOAT, Graph
from converters.lowering.registry import lowers
from converters.lowering.table import Table, common_kind, joined

if TYPE_CHECKING:
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

_SHARP: Final = ("Tree", "Forest", "Boost", "LGBM", "XGB", "CatBoost", "Neighbors", "KNN",
                 "Discretizer", "Binarizer", "QuantileTransformer")  # fmt: skip
"""Parts of names of estimators that answer otherwise on another side of a threshold."""

_TAKES_FLOAT32: Final = (
    "Tree", "Forest", "Boost", "LGBM", "XGB", "CatBoost", "Pipeline", "ColumnTransformer",
    "FeatureUnion", "Encoder", "Select", "VarianceThreshold", "Voting", "Bagging",
    "Calibrated", "OneVs", "MultiOutput", "SearchCV", "Frozen", "DummyClassifier", "Constant",
)  # fmt: skip
"""Parts of names of estimators that compare their rows as they are, or hand them on.

Trees round rows and thresholds to float32 themselves, or their thresholds can be rounded as rows
are (:mod:`converters.trees.floats`).
"""


def is_sharp(names: Sequence[str]) -> bool:
    """Return True if a model made of these estimators needs its inputs bit by bit."""
    return any(part in name for name in names for part in _SHARP)


def needs_own_digits(parts: Sequence[Any]) -> bool:
    """Return True if a model may answer otherwise once its rows are float32.

    It computes with them what then falls on a side of a threshold.

    Args:
        parts: the fitted estimators that it is made of.
    """
    names = [type(part).__name__ for part in parts]
    boosts = any(part in name for name in names for part in _IN_FLOAT64)
    return is_sharp(names) and any(_computes(part, boosts=boosts) for part in parts)


_IN_FLOAT64: Final = ("HistGradientBoosting", "LGBM")
"""Parts of names of trees that compare in float64."""


def _computes(part: Any, *, boosts: bool) -> bool:
    name = type(part).__name__
    if name == "FunctionTransformer":
        return part.func is not None
    if name == "SimpleImputer":
        # What is filled in is float64, and so is the whole column: such trees take it as it is.
        # A constant is kept as an object, whatever it is.
        is_text = any(isinstance(value, str) for value in np.asarray(part.statistics_).tolist())
        return boosts and not is_text
    return not any(known in name for known in _TAKES_FLOAT32)


@lowers("transform", "StandardScaler")
def _lower_standard_scaler(estimator: StandardScaler, graph: Graph, rows: Table) -> Table:
    steps = []
    if estimator.with_mean:
        steps.append(("Sub", estimator.mean_))
    if estimator.with_std:
        steps.append(("Div", estimator.scale_))
    return _stepwise(estimator, graph, rows, steps, own_type=True)


@lowers("transform", "RobustScaler")
def _lower_robust_scaler(estimator: RobustScaler, graph: Graph, rows: Table) -> Table:
    steps = []
    if estimator.with_centering:
        steps.append(("Sub", estimator.center_))
    if estimator.with_scaling:
        steps.append(("Div", estimator.scale_))
    return _stepwise(estimator, graph, rows, steps)


@lowers("transform", "MaxAbsScaler")
def _lower_max_abs_scaler(estimator: MaxAbsScaler, graph: Graph, rows: Table) -> Table:
    steps = [("Div", estimator.scale_)]
    if getattr(estimator, "clip", False):
        steps += [("Max", [-1.0]), ("Min", [1.0])]
    return _stepwise(estimator, graph, rows, steps)


@lowers("transform", "MinMaxScaler")
def _lower_min_max_scaler(estimator: MinMaxScaler, graph: Graph, rows: Table) -> Table:
    steps = [("Mul", estimator.scale_), ("Add", estimator.min_)]
    if estimator.clip:
        low, high = estimator.feature_range
        steps += [("Max", [low]), ("Min", [high])]
    return _stepwise(estimator, graph, rows, steps)


def _stepwise(
    estimator: Any,
    graph: Graph,
    rows: Table,
    steps: list[tuple[str, Any]],
    *,
    own_type: bool = False,
) -> Table:
    """Write arithmetic steps, each as NumPy would round it.

    Args:
        estimator: the scaler, for skl2onnx, which is good enough before smooth models.
        graph: the graph to write into.
        rows: columns [N, features].
        steps: operator and constant [features] of each step.
        own_type: compute in the type of the rows; else in float64, rounded after each step.
    """
    if not graph.faithful or not rows.numeric or not steps:
        return skl2onnx_fallback.transform(estimator, graph, rows) if steps else rows
    kind = common_kind(rows)
    dtype = np.float32 if own_type and kind == FLOAT else np.float64
    x = joined(graph, rows, kind)
    for name, values in steps:
        if dtype == np.float64 and kind == FLOAT:
            # NumPy computes with the float64 constant, and stores into the float32 array.
            wide = graph.op(name, graph.cast(x, DOUBLE), np.asarray(values, dtype)[None])
            x = graph.cast(wide, FLOAT)
        else:
            x = graph.op(name, x, np.asarray(values, dtype)[None])
    return Table.of(x, rows.width, kind)
