"""Numbers that find what ordinary rows do not: extremes, zeros, missing values, thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from converters.samples.rows import Rows
from converters.trees import probing

HOLES: Final = 0.2
"""Share of floating-point values that :func:`with_holes` takes away."""


def corners(rows: Rows) -> Rows | None:
    """Return three rows: all features at minimum, at maximum, at zero; ``None`` with text."""
    if not rows.dense:
        return None
    table = np.asarray(rows.table, dtype=np.float32)
    low, high = np.fmin.reduce(table, axis=0), np.fmax.reduce(table, axis=0)
    return rows.with_values(np.nan_to_num(np.stack([low, high, np.zeros_like(low)])))


def of_trees(rows: Rows, model: Any) -> Iterator[tuple[str, Rows]]:
    """Yield rows at every threshold and category that the trees of ``model`` ask for.

    Args:
        rows: whose other features are used.
        model: an estimator; one without trees yields nothing.
    """
    ensemble = probing.ensemble_of(model) if rows.dense else None
    if ensemble is None:
        return
    table = np.asarray(rows.table, dtype=np.float32)
    for case, values in (
        ("rows at thresholds", probing.at_thresholds(ensemble, table)),
        ("rows of categories", probing.at_members(ensemble, table)),
    ):
        if len(values):
            yield case, rows.with_values(values)


def with_holes(rows: Rows) -> Rows | None:
    """Return the rows with a fifth of their floats missing; ``None`` if they have no floats."""
    floats = [i for i, column in enumerate(rows.columns) if column.dtype == "float32"]
    if not floats:
        return None
    random = np.random.default_rng(0)  # a fixed seed: the same model gets the same verdict
    if rows.dense:
        table = np.array(rows.table, dtype=np.float32)
        table[random.random(table.shape) < HOLES] = np.nan
        return rows.with_values(table)
    for index in floats:
        values = rows.column(index).copy()
        values[random.random(len(values)) < HOLES] = np.nan
        rows = rows.with_column(index, values)
    return rows


def has_missing(rows: Rows) -> bool:
    """Return whether a floating-point value is missing."""
    return any(
        bool(np.isnan(rows.column(i)).any())
        for i, column in enumerate(rows.columns)
        if column.dtype == "float32"
    )
