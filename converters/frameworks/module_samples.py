"""Samples of a module as arrays by the name of its input.

Rows of one shape become one feed. Rows of several shapes, such as texts of several lengths, become
a feed for each run of equal ones; the axes in which they differ stay open in the exported file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.samples.tensors import as_arrays
from edge_sdk.model.release import Feed

_KEPT: Final = ("uint8", "bool")
"""Dtypes that modules take as they are; other whole numbers become int64, as indices are."""


def samples_of(
    X: Any, names: Sequence[str], floats: str, *, batched: bool = True
) -> tuple[Feed, ...]:
    """Return the samples of a module's inputs; feeds that follow each other differ in shape.

    Args:
        X: an array, tensor or DataFrame; a list of rows; arrays or lists of rows by input name; or
            a list of feeds, each with an axis for its rows.
        names: inputs of the module, in order.
        floats: dtype that floating-point samples become.
        batched: whether axis 0 is the rows; if not, each array or feed of a list is one input.

    Raises:
        ConversionError: something else, other names, or rows that do not fit each other.
    """
    _refuse_streams(X)
    X = as_arrays(X)
    if isinstance(X, list | tuple) and X and isinstance(X[0], Mapping):
        feeds = [
            {str(name): _array(str(name), value) for name, value in each.items()} for each in X
        ]
        if any(set(feed) != set(feeds[0]) for feed in feeds):
            raise ConversionError("X: expected feeds with the same inputs throughout")
    elif isinstance(X, Mapping):
        feeds = _by_rows({str(name): value for name, value in X.items()}, batched=batched)
    elif len(names) == 1:
        feeds = _by_rows({names[0]: X}, batched=batched)
    else:
        raise ConversionError(
            f"X: the module takes {list(names)}; expected a dict with an array for each, got "
            f"{type(X).__name__}"
        )
    _check_names(feeds[0], names)
    typed = [
        {name: _typed(name, feed[name], floats) for name in names if name in feed} for feed in feeds
    ]
    _check_rows(typed, batched=batched)
    return _joined(typed) if batched else tuple(typed)


def open_axes(feeds: Sequence[Feed], *, batched: bool) -> dict[str, list[int]]:
    """Return the axes of each input that stay open: the rows, and where samples differ in size."""
    found = {}
    for name, first in feeds[0].items():
        shapes = {feed[name].shape for feed in feeds}
        axes = range(1 if batched else 0, first.ndim)
        varying = [axis for axis in axes if len({shape[axis] for shape in shapes}) > 1]
        found[name] = [0, *varying] if batched else varying
    return found


def largest_of(feeds: Sequence[Feed]) -> Feed:
    """Return the feed with the largest rows."""
    return max(feeds, key=lambda feed: sum(array[:1].size for array in feed.values()))


def _refuse_streams(X: Any) -> None:
    if isinstance(X, Iterator) or not (hasattr(X, "__len__") or hasattr(X, "shape")):
        raise ConversionError(
            f"X: expected rows that can be read more than once (an array, a list, or a dict of "
            f"arrays), got {type(X).__name__}; collect the rows first"
        )
    if not isinstance(X, list | tuple | Mapping) and not hasattr(X, "shape"):
        raise ConversionError(
            f"X: expected an array, a list, or a dict of arrays, got {type(X).__name__}; collect "
            "the rows of a data set or loader first"
        )


def _by_rows(columns: Mapping[str, Any], *, batched: bool) -> list[Feed]:
    """Return the samples of each input as one feed, or one for each row of a list of them."""
    lists = {
        name: [_array(name, row) for row in value]
        for name, value in columns.items()
        if isinstance(value, list | tuple)
    }
    one_shape = all(len({row.shape for row in rows}) <= 1 for rows in lists.values())
    if one_shape and (batched or not _holds_arrays(columns)):
        stacked = {n: np.stack(rows) if rows else np.empty(0) for n, rows in lists.items()}
        return [{name: stacked.get(name, np.asarray(value)) for name, value in columns.items()}]
    rows_of = {name: lists.get(name, value) for name, value in columns.items()}
    if len({len(rows) for rows in rows_of.values()}) > 1:
        counts = {name: len(rows) for name, rows in rows_of.items()}
        raise ConversionError(f"X: expected as many rows of each input, got {counts}")
    places = range(len(next(iter(rows_of.values()))))
    single: Any = (None,) if batched else ()
    return [{n: np.asarray(rows[i])[single] for n, rows in rows_of.items()} for i in places]


def _holds_arrays(columns: Mapping[str, Any]) -> bool:
    """Whether lists are of arrays: without rows each is one input, while nested lists are one."""
    return any(
        isinstance(value, list | tuple) and len(value) > 0 and hasattr(value[0], "shape")
        for value in columns.values()
    )


def _joined(feeds: Sequence[Feed]) -> tuple[Feed, ...]:
    """Return feeds whose rows have the same shapes, and follow each other, below each other."""
    groups = itertools.groupby(feeds, lambda feed: [array.shape[1:] for array in feed.values()])
    joined = []
    for _, each in groups:
        group = list(each)
        joined.append(
            {name: np.concatenate([feed[name] for feed in group]) for name in group[0]}
            if len(group) > 1
            else group[0]
        )
    return tuple(joined)


def _array(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, list | tuple):
        parts = [_array(name, part) for part in value]
        if len({part.shape for part in parts}) > 1:
            raise ConversionError(
                f"X: input {name!r}: expected rows that are arrays, got lists of several lengths "
                "in one row"
            )
        return np.stack(parts) if parts else np.empty(0)
    return np.asarray(value)


def _check_names(arrays: Feed, names: Sequence[str]) -> None:
    unknown = sorted(set(arrays) - set(names))
    if unknown:
        raise ConversionError(
            f"X: the module takes {list(names)[:20]}, and no {unknown[:5]}; expected samples by "
            "the names of its inputs"
        )


def _typed(name: str, array: NDArray[Any], floats: str) -> NDArray[Any]:
    if array.dtype.kind not in "fiub":
        raise ConversionError(f"X: input {name!r}: expected numbers, got {array.dtype}")
    if array.dtype.kind != "f":
        return array if array.dtype.name in _KEPT else array.astype(np.int64)
    with np.errstate(over="ignore"):
        typed = array.astype(floats)
    if (np.isinf(typed) & np.isfinite(array)).any():
        raise ConversionError(f"X: input {name!r}: expected numbers that {floats} holds")
    return typed


def _check_rows(feeds: Sequence[Feed], *, batched: bool) -> None:
    if not feeds[0]:
        raise ConversionError("X: expected at least one input, got none")
    for i, feed in enumerate(feeds):
        for name, array in feed.items():
            if array.ndim == 0 or array.size == 0:
                raise ConversionError(f"X: input {name!r}: expected rows, got shape {array.shape}")
            if array.ndim != feeds[0][name].ndim:
                first = feeds[0][name].shape[batched:]
                raise ConversionError(
                    f"X: input {name!r}: expected rows with as many axes each, got {first} in row "
                    f"0 and {array.shape[batched:]} in row {i}"
                )
