"""Single feature values: missing ones, and the name under which a category is counted.

The converters and the hub use the same two functions, so that a value falls into the same bin at
training, on a device and in a report.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def is_missing(value: Any) -> bool:
    """Return True for a value that counts as missing: ``None``, NaN, or the ``NA`` of pandas."""
    # NaN is the only value that differs from itself; unlike isnan this takes text and objects.
    try:
        return value is None or bool(value != value)
    except TypeError:  # whether NA differs from itself is NA again
        return True


def category(value: Any) -> str:
    """Return the name of a value as a category: 3, 3.0 and True are "3", "3" and "1"."""
    if isinstance(value, str):
        return value
    number = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    return str(int(number)) if whole else str(number)
