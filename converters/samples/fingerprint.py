"""A name for a data set: SHA-256 over its values in one canonical order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError


def fingerprint(X: Any, y: Any) -> str:
    """Return the SHA-256 of shapes, dtypes and values of ``X`` and ``y``.

    Both may be arrays, DataFrames, feeds or lists; ``y`` may be ``None``.

    Raises:
        ConversionError: rows of different lengths.
    """
    digest = hashlib.sha256()
    try:
        for name, array in (*_parts(X), *_parts(y)):
            digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    except ValueError as error:
        raise ConversionError(f"X, y: expected rows of equal length; {error}") from error
    return digest.hexdigest()


def count_rows(X: Any) -> int:
    """Return the number of rows: of a feed those of its first tensor; 1 for what has no length."""
    if isinstance(X, Mapping):
        return count_rows(next(iter(X.values()), ()))
    return len(X) if hasattr(X, "__len__") else 1


def _parts(data: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield named arrays; the name of a plain array is empty."""
    if data is None:
        return
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        data = {str(name): data[name].to_numpy() for name in data.columns}
    elif getattr(getattr(data, "dtype", None), "names", None):  # an array of records
        data = {name: data[name] for name in data.dtype.names}
    if isinstance(data, Mapping):
        # By name: the order of columns is no property of a data set.
        for name in sorted(data):
            yield from ((str(name), part) for _, part in _parts(data[name]))
    elif isinstance(data, list) and data and isinstance(data[0], Mapping):
        for feed in data:
            yield from _parts(feed)
    elif isinstance(data, list | tuple) and data and isinstance(data[0], bytes):
        for file in data:
            yield "", np.frombuffer(file, np.uint8)
    elif isinstance(data, list | tuple) and _differ(data):
        for each in data:  # pictures of several sizes, or the labels of each row
            yield from _parts(each)
    else:
        yield "", _plain(data)


def _differ(data: Sequence[Any]) -> bool:
    """Return whether the elements have different shapes."""
    shapes = {np.shape(each) for each in data if isinstance(each, list | tuple | np.ndarray)}
    return len(shapes) > 1


def _plain(values: Any) -> NDArray[Any]:
    """Return numbers as they are, everything else as text."""
    array = np.asarray(values)
    if array.dtype == object:  # lists in a column are no text to NumPy
        return np.array([str(value) for value in array.ravel()]).reshape(array.shape)
    return array.astype(str) if array.dtype.kind not in "biufU" else array
