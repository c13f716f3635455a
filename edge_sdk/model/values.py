"""Single feature values: missing ones, and the name under which a category is counted.

The converters and the hub use the same two functions, so that a value falls into the same bin at
training, on a device and in a report.
"""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SECOND = np.timedelta64(1, "s")


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


def is_time(value: Any) -> bool:
    """Return True for a moment, a day or a length of time, of Python, NumPy or pandas."""
    # The classes of pandas are subclasses of Python's.
    times = datetime.date | datetime.timedelta | np.datetime64 | np.timedelta64
    return isinstance(value, times)


def is_moment(value: Any) -> bool:
    """Return True for a moment or a day, of Python, NumPy or pandas."""
    return isinstance(value, datetime.date | np.datetime64)


def seconds_of(value: Any) -> float:
    """Return a moment as Unix seconds, or a length of time as seconds; what is missing is NaN.

    A moment without a zone is UTC, as it is where data is kept for trainings.
    """
    if value != value:  # NaT
        return float("nan")
    if isinstance(value, np.datetime64 | np.timedelta64):
        return float(seconds(np.asarray(value)))
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    moment = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
    return float(moment.timestamp())


def seconds(times: NDArray[Any]) -> NDArray[np.float64]:
    """Return an array of ``datetime64`` or ``timedelta64`` as seconds; what is missing is NaN."""
    since = times - np.datetime64(0, "s") if times.dtype.kind == "M" else times
    counted: NDArray[np.float64] = since / _SECOND
    return counted
