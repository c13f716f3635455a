"""Texts that find what ordinary rows do not: missing, unseen, in capitals, hard to cut to words."""

from __future__ import annotations

from typing import Final

import numpy as np

from converters.samples.rows import Rows
from edge_sdk.model.values import is_missing

HOLES: Final = 0.2
"""Share of texts that :func:`with_text_holes` takes away."""


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
