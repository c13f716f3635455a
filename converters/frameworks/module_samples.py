"""Samples of a module as arrays by the name of its input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.samples.tensors import as_arrays
from edge_sdk.model.release import Feed

_KEPT: Final = ("uint8", "bool")
"""Dtypes that modules take as they are; other whole numbers become int64, as indices are."""


def samples_of(X: Any, names: Sequence[str], floats: str) -> Feed:
    """Return the samples of a module's inputs, axis 0 the rows.

    Args:
        X: an array, tensor or DataFrame; a list of rows; arrays by input name; or a list of feeds,
            each with an axis for its rows.
        names: inputs of the module, in order.
        floats: dtype that floating-point samples become.

    Raises:
        ConversionError: something else, other names, or rows that do not fit each other.
    """
    _refuse_streams(X)
    X = as_arrays(X)
    if isinstance(X, Mapping):
        arrays = {str(name): _array(str(name), value) for name, value in X.items()}
    elif isinstance(X, list | tuple) and X and isinstance(X[0], Mapping):
        arrays = _joined(X)
    elif len(names) == 1:
        arrays = {names[0]: _array(names[0], X)}
    else:
        raise ConversionError(
            f"X: the module takes {list(names)}; expected a dict with an array for each, got "
            f"{type(X).__name__}"
        )
    _check_names(arrays, names)
    ordered = {name: _typed(name, arrays[name], floats) for name in names if name in arrays}
    _check_rows(ordered)
    return ordered


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


def _joined(feeds: Sequence[Mapping[str, Any]]) -> Feed:
    names = list(feeds[0])
    if any(set(feed) != set(names) for feed in feeds):
        raise ConversionError("X: expected feeds with the same inputs throughout")
    columns = {name: [_array(name, feed[name]) for feed in feeds] for name in names}
    for name, arrays in columns.items():
        _check_shapes(name, [array.shape[1:] for array in arrays])
    return {str(name): np.concatenate(arrays) for name, arrays in columns.items()}


def _array(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, list | tuple):
        parts = [_array(name, part) for part in value]
        _check_shapes(name, [part.shape for part in parts])
        return np.stack(parts) if parts else np.empty(0)
    return np.asarray(value)


def _check_shapes(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    first = shapes[0] if shapes else ()
    for i, shape in enumerate(shapes):
        if shape != first:
            raise ConversionError(
                f"X: input {name!r}: expected rows of one shape, got {first} in row 0 and {shape} "
                f"in row {i}; bring them to one size, or let the release do it (preprocess=)"
            )


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


def _check_rows(arrays: Feed) -> None:
    if not arrays:
        raise ConversionError("X: expected at least one input, got none")
    for name, array in arrays.items():
        if array.ndim == 0 or array.size == 0:
            raise ConversionError(f"X: input {name!r}: expected rows, got shape {array.shape}")
