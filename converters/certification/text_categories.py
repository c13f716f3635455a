"""Texts that each text column of a release takes, learnt by asking the original.

Invariant: whatever a device lets through, the original takes too, and the release agrees on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from converters.certification import text_rows
from converters.estimators.fitted_estimator import FittedEstimator
from converters.estimators.sklearn_repairs import parts_of
from converters.samples.rows import Rows
from edge_sdk.contract.manifest import Column
from edge_sdk.model.values import is_missing

MOST_CATEGORIES: Final = 2_000
"""Categories of a column that are tried one by one, at most."""

Hold = Callable[[str, Rows], None]


def text_columns(original: FittedEstimator, check: Rows, hold: Hold) -> tuple[Column, ...]:
    """Return the columns of the check rows, with the texts that each text column may hold.

    Args:
        original: the estimator that is asked.
        check: rows that it takes.
        hold: compares the release with the original on rows of a named case; raises
            :class:`ParityError`.
    """
    columns = list(check.columns)
    for index in text_rows.texts_of(check):
        columns[index] = _learnt(original, check, index, hold)
    return tuple(columns)


def _learnt(original: FittedEstimator, check: Rows, index: int, hold: Hold) -> Column:
    column = check.columns[index]
    holes = text_rows.with_text_holes(check, index)
    strange = text_rows.with_strange_texts(check, index)
    lacking, categories = original.accepts(holes), None
    if lacking:
        hold(f"rows without {column.name!r}", holes)
    if original.accepts(strange):
        hold(f"rows with unseen texts as {column.name!r}", strange)
    else:
        categories = _categories(original, check, index)
    return replace(column, lacking=True if lacking else None, categories=categories)


def _categories(original: FittedEstimator, check: Rows, index: int) -> tuple[str, ...]:
    """Return the texts that the original takes, of those it was fitted on and those it met."""
    seen = {value for value in check.column(index) if not is_missing(value)}
    fitted: set[str] = set()
    for part in parts_of(original.estimator):
        for categories in getattr(part, "categories_", ()):
            fitted |= {value for value in categories if isinstance(value, str)}
    candidates = sorted(seen | fitted)[:MOST_CATEGORIES]
    return tuple(text for text in candidates if original.accepts(_row_with(check, index, text)))


def _row_with(check: Rows, index: int, text: str) -> Rows:
    """Return one row with this text."""
    one = check.take([0])
    # np.array([text]) would make a fixed-width string; encoders were fitted on objects.
    values: Any = np.empty(1, dtype=object)
    values[:] = [text]
    return one.with_column(index, values)
