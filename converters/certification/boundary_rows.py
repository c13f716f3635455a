"""Numbers that find what ordinary rows do not: extremes, zeros, missing values, thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.estimators.fitted_estimator import FittedEstimator
from converters.samples.rows import Rows
from converters.trees import probing

HOLES: Final = 0.2
"""Share of floating-point values that :func:`with_holes` takes away."""


def corners(rows: Rows) -> Rows | None:
    """Return three rows: all features at minimum, at maximum, at zero; ``None`` with text."""
    if not rows.dense:
        return None
    table = rows.numbers()
    low, high = np.fmin.reduce(table, axis=0), np.fmax.reduce(table, axis=0)
    return rows.with_values(np.nan_to_num(np.stack([low, high, np.zeros_like(low)])))


def of_trees(rows: Rows, model: Any) -> Iterator[tuple[str, Rows]]:
    """Yield rows at every threshold and category that the trees of ``model`` ask for.

    Args:
        rows: whose other features are used.
        model: an estimator; one without trees yields nothing.
    """
    table = rows.numbers() if rows.dense else None
    ensemble = None if table is None else probing.ensemble_of(model, table.dtype)
    if ensemble is None or table is None:
        return
    for case, values in (
        ("rows at thresholds", probing.at_thresholds(ensemble, table)),
        ("rows of categories", probing.at_members(ensemble, table)),
    ):
        if len(values):
            yield case, rows.with_values(values)


def behind_transforms(rows: Rows, original: FittedEstimator) -> Iterator[tuple[str, Rows]]:
    """Yield rows on both sides of the thresholds of trees behind transformers.

    Each pair is found by bisection between two rows that go different ways, until no float32 lies
    between them. Where the user's rows are float32, transformers of scikit-learn compute in float32
    themselves; rows whose answer hangs on their rounding show nothing of the export, and are left
    out.

    Args:
        rows: that the bisection begins with.
        original: the model; one without transformers before trees yields nothing.
    """
    found = probing.behind(original.estimator) if rows.dense else None
    if found is None:
        return
    transform, trees = found
    table = rows.numbers()
    try:
        pairs = probing.around_thresholds(
            lambda values: transform(rows.with_values(values).table), trees, table
        )
    except ValueError:  # transformers that refuse what lies between two rows
        return
    if table.dtype == np.float32 and len(pairs):
        pairs = pairs[_steady(rows, original, pairs)]
    if len(pairs):
        yield "rows at thresholds behind transformers", rows.with_values(pairs)


def _steady(rows: Rows, original: FittedEstimator, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the model answers the same to float32 numbers as to them in float64."""
    narrow, wide = (
        original.answers_if_any(rows.with_values(values.astype(dtype)))
        for dtype in (np.float32, np.float64)
    )
    steady = np.full(len(values), narrow is not None and wide is not None)
    for name, answer in (narrow or {}).items():
        other = (wide or narrow or {})[name]
        is_number = answer.dtype.kind == "f"
        same = np.isclose(answer, other, 1e-4, 1e-5) if is_number else answer == other
        steady &= same.reshape(len(values), -1).all(axis=1)
    return steady


def with_holes(rows: Rows) -> Rows | None:
    """Return the rows with a fifth of their floats missing; ``None`` if they have no floats."""
    floats = [i for i, column in enumerate(rows.columns) if column.dtype.startswith("float")]
    if not floats:
        return None
    random = np.random.default_rng(0)  # a fixed seed: the same model gets the same verdict
    if rows.dense:
        table = rows.numbers().copy()
        table[random.random(table.shape) < HOLES] = np.nan
        return rows.with_values(table)
    for index in floats:
        values = rows.own_column(index).copy()
        values[random.random(len(values)) < HOLES] = np.nan
        rows = rows.with_column(index, values)
    return rows


def has_missing(rows: Rows) -> bool:
    """Return whether a floating-point value is missing."""
    return any(
        bool(np.isnan(rows.column(i)).any())
        for i, column in enumerate(rows.columns)
        if column.dtype.startswith("float")
    )
