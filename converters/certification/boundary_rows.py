"""Rows that find what ordinary rows do not: extremes, zeros, missing values, thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from converters.samples.rows import Rows
from converters.trees import probing
from edge_sdk.telemetry.histograms import is_missing

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


def texts_of(rows: Rows) -> list[int]:
    """Return the indices of the text columns."""
    return [i for i, column in enumerate(rows.columns) if column.dtype == "string"]


def with_text_holes(rows: Rows, index: int) -> Rows:
    """Return the rows with a fifth of one text column missing, as the column marks what it lacks.

    ``None`` and NaN are different categories to an encoder: the column's own mark is used.
    """
    values = rows.column(index).copy()
    gaps = [value for value in values if is_missing(value)]
    values[np.random.default_rng(index).random(len(values)) < HOLES] = gaps[0] if gaps else np.nan
    return rows.with_column(index, values)


STRANGE: Final = (
    "",
    " ",
    "nowhere to be seen",
    "Ünîçødé ☃ Wörter",
    "東京 タワー",
    "it's 3.14, re-do!",
)
"""Texts that are no category of any column, and hard to cut into words."""


def with_strange_texts(rows: Rows, index: int) -> Rows:
    """Return the rows with a third of one text column strange, and a third in capital letters."""
    values = rows.column(index).copy()
    for i in range(len(values)):
        if i % 3 == 0:
            values[i] = STRANGE[i // 3 % len(STRANGE)]
        elif i % 3 == 1 and isinstance(values[i], str):
            values[i] = values[i].upper()
    return rows.with_column(index, values)


def has_missing(rows: Rows) -> bool:
    """Return whether a floating-point value is missing."""
    return any(
        bool(np.isnan(rows.column(i)).any())
        for i, column in enumerate(rows.columns)
        if column.dtype == "float32"
    )
