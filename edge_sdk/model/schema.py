"""Application inputs to the tensors that the model takes, or one clear refusal.

Invariants:

* Nothing reaches the model unless it has the declared dtype and shape, and is finite (missing
  values only where the release allows them, infinities never), and is one of the declared
  categories where a text column has them.
* Every refusal is an :class:`InputError` that names the feature, the expected and the actual value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import STRING
from edge_sdk.errors import InputError
from edge_sdk.model.dtypes import numpy_dtype
from edge_sdk.model.tables import (
    NamedFeatures,
    columns_of,
    is_frame,
    is_series,
    row_of_frame,
    row_of_series,
)
from edge_sdk.model.values import is_missing, is_time, seconds, seconds_of

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column, Manifest, Signature, TensorSpec
    from edge_sdk.model.release import Feed

T = TypeVar("T")

MISSING_TEXT: Final = "\x1amissing"
"""Text that stands for a missing value in a column that may miss values.

The converters write the same text into the model's graph. It begins with a control character (SUB)
so that no real category equals it.
"""


class InputSchema:
    """Inputs that one release takes.

    Args:
        signature: signature of the release.
        missing: True if NaN (``None`` in lists and dicts) is allowed in float columns.
        extra: True if columns that are no features are left out; else they are refused.

    Attributes:
        named: names of the features, and what was left out beside them.
        columns: named features, in order.
        dense: the input tensor if all columns are in one numeric tensor in order; else ``None``.
        width: number of columns.
    """

    def __init__(self, signature: Signature, *, missing: bool = False, extra: bool = False) -> None:
        self.signature = signature
        self.columns = signature.columns
        self.missing = missing
        self.dense = _dense_tensor(signature)
        self.width = len(signature.columns)
        self._dtype = np.dtype(self.dense.dtype) if self.dense else None
        self._names = [column.name for column in signature.columns]
        self.named = NamedFeatures(self._names, extra=extra)
        self._specs = {spec.name: spec for spec in signature.application_inputs}
        self._categories = {c.name: frozenset(c.categories) for c in self.columns if c.categories}

    @classmethod
    def of(cls, manifest: Manifest) -> InputSchema:
        """Return that of a release, with what it says of missing values and other columns."""
        says = manifest.training.get
        missing, extra = says("missing") == "allowed", says("extra") == "ignored"
        return cls(manifest.signature, missing=missing, extra=extra)

    def row(self, x: Any) -> Feed:
        """Return tensors with a batch of one from a row (1-D), a dict by column, a one-row
        DataFrame, a Series, or a feed.

        The tensors of a feed may come with the axis of the rows, of size one, or without it.

        Raises:
            InputError: the row does not fit.
        """
        if not self.columns:
            return self._one_row(self._feed(x, one=True))
        x = self._from_table(x)
        if isinstance(x, Mapping):
            self.named.check(x)
            return self._columns([[x[name]] for name in self._names])
        if isinstance(x, np.ndarray) and x.ndim != 1:
            raise InputError("shape", f"expected a row of {self.width} features, got {x.shape}")
        if self.dense and isinstance(x, np.ndarray) and x.dtype != object:
            return {self.dense.name: self._matrix(x.reshape(1, -1))}
        values = self._sequence(x)
        return self._columns([[value] for value in values])

    def batch(self, x: Any) -> Feed:
        """Return tensors of N rows: a 2-D array, a list of rows or dicts, a DataFrame, or a feed.

        Raises:
            InputError: there are no rows, or a row does not fit.
        """
        if self.dense and type(x) is np.ndarray and x.dtype == self._dtype:
            return {self.dense.name: self._matrix(x)}  # nothing to convert: most batches
        if not self.columns:
            return self._same_rows(self._feed(x))
        if is_frame(x):
            x = columns_of(x)
        if isinstance(x, Mapping):
            return self._batch_by_name(x)
        if self.dense and isinstance(x, np.ndarray) and x.dtype != object:
            return {self.dense.name: self._matrix(x)}
        if isinstance(x, np.ndarray) and x.ndim != 2:
            raise InputError("shape", f"expected rows of {self.width} features, got {x.shape}")
        if not hasattr(x, "__len__"):
            raise InputError("shape", f"expected rows, got {type(x).__name__}")
        if len(x) == 0:
            raise InputError("empty", "expected at least one row, got none")
        rows = [self._values(row) for row in x]
        return self._columns([list(column) for column in zip(*rows, strict=True)])

    def _from_table(self, row: Any) -> Any:
        """Return a row of a data frame library by name or in order; any other as it is."""
        if type(row) is np.ndarray or isinstance(row, Mapping):
            return row
        if is_frame(row):
            return row_of_frame(row)
        return row_of_series(row, self._names) if is_series(row) else row

    def _values(self, row: Any) -> Sequence[Any]:
        row = self._from_table(row)
        if isinstance(row, Mapping):
            self.named.check(row)
            return [row[name] for name in self._names]
        return self._sequence(row)

    def _sequence(self, x: Any) -> Sequence[Any]:
        if isinstance(x, str | bytes) or not hasattr(x, "__len__"):
            raise InputError(
                "shape", f"expected a row of {self.width} features, got {type(x).__name__}"
            )
        if len(x) != self.width:
            raise InputError("shape", f"expected {self.width} features, got {len(x)}")
        return list(x)

    def _batch_by_name(self, x: Mapping[str, Any]) -> Feed:
        self.named.check(x)
        lengths = {name: len(x[name]) for name in self._names}
        if len(set(lengths.values())) != 1:
            raise InputError("shape", f"expected columns of one length, got {lengths}")
        if next(iter(lengths.values())) == 0:
            raise InputError("empty", "expected at least one row, got none")
        return self._columns([x[name] for name in self._names])

    def _matrix(self, x: NDArray[Any]) -> NDArray[Any]:
        """[N, width] of the dense tensor's dtype, checked in one pass."""
        assert self.dense is not None
        if x.ndim != 2 or x.shape[1] != self.width:
            shape = x.shape[1:] if x.ndim == 2 and len(x) == 1 else x.shape
            raise InputError("shape", f"expected rows of {self.width} features, got {shape}")
        if len(x) == 0:
            raise InputError("empty", "expected at least one row, got none")
        if x.dtype != self._dtype:
            x = _convert(x, self.columns[0].dtype, self._names)
        self._check_finite(x, self._names)
        # onnxruntime reads the buffer in C order.
        return np.ascontiguousarray(x)

    def _check_finite(self, array: NDArray[Any], names: Sequence[str]) -> None:
        if array.dtype.kind != "f":
            return
        # One pass: NaN and infinities survive a sum of squares. Unlike dot, vdot does not warn.
        if np.vdot(array, array) < np.inf:
            return
        bad = np.isinf(array) if self.missing else ~np.isfinite(array)
        if not bad.any():
            return
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        name = names[where[1] if array.ndim > 1 and where[1] < len(names) else 0]
        value = array[where]
        kind = "missing" if np.isnan(value) else "not_finite"
        raise InputError(kind, f"feature {name!r}: expected a finite number, got {value}")

    def _columns(self, values: Sequence[Any]) -> Feed:
        """Tensors from one sequence of N values per column."""
        arrays = [
            self.column(column, items) for column, items in zip(self.columns, values, strict=True)
        ]
        feed: Feed = {}
        for spec in self.signature.application_inputs:
            parts = [
                (column.index, array)
                for column, array in zip(self.columns, arrays, strict=True)
                if column.tensor == spec.name
            ]
            ordered = [array for _, array in sorted(parts, key=lambda part: part[0])]
            stacked = np.column_stack(ordered)
            feed[spec.name] = stacked.astype(numpy_dtype(spec.dtype), copy=False)
        return feed

    def columns_of(self, feed: Feed, rows: slice) -> NDArray[Any] | Sequence[NDArray[Any]]:
        """Return one array per column over ``rows`` of checked tensors, as copies."""
        if self.dense:
            return feed[self.dense.name][rows].copy().T
        return [_counted(c, np.array(feed[c.tensor][rows, c.index])) for c in self.columns]

    def column(self, column: Column, values: Any) -> NDArray[Any]:
        """Return ``values`` of one column as an array [N] of its dtype.

        Raises:
            InputError: one does not fit.
        """
        if column.dtype == STRING:
            return self._texts(column, values)
        array = _numbers(column.name, values)
        converted = _convert(array[:, None], column.dtype, [column.name])
        self._check_finite(converted, [column.name])
        return converted[:, 0]

    def _texts(self, column: Column, values: Any) -> NDArray[Any]:
        if column.lacking:
            values = [MISSING_TEXT if is_missing(value) else value for value in values]
        texts, categories = _strings(column.name, values), self._categories.get(column.name)
        if categories is not None:
            for text in texts:
                if text not in categories and text != MISSING_TEXT:
                    raise InputError(
                        "unknown_category",
                        f"feature {column.name!r}: expected one of the {len(categories)} "
                        f"categories that the model was fitted on, got {text!r:.60}",
                    )
        return texts

    def _feed(self, x: Any, *, one: bool = False) -> Feed:
        """Tensors of a feed; with ``one`` each may come without the axis of the rows."""
        if not isinstance(x, Mapping) and len(self._specs) == 1:
            x = {next(iter(self._specs)): x}
        if not isinstance(x, Mapping) or set(x) != set(self._specs):
            actual = sorted(map(str, x)) if isinstance(x, Mapping) else type(x).__name__
            raise InputError(
                "shape", f"expected a feed with the inputs {sorted(self._specs)}, got {actual}"
            )
        return {name: self._tensor(self._specs[name], value, one) for name, value in x.items()}

    def _one_row(self, feed: Feed) -> Feed:
        """Refuse a feed of several rows: only the first would be answered."""
        if self.signature.batched:
            for name, array in feed.items():
                axis = self._specs[name].batch
                if array.shape[axis] != 1:
                    raise InputError(
                        "shape",
                        f"input {name!r}: expected one input, of size 1 along axis {axis}, got "
                        f"{array.shape[axis]} in shape {array.shape}: use predict_batch",
                    )
        return feed

    def _same_rows(self, feed: Feed) -> Feed:
        if self.signature.batched:
            counts = {name: array.shape[self._specs[name].batch] for name, array in feed.items()}
            if len(set(counts.values())) != 1:
                raise InputError("shape", f"expected inputs of as many rows each, got {counts}")
            if not next(iter(counts.values())):
                raise InputError("empty", "expected at least one row, got none")
        return feed

    def _shape(self, spec: TensorSpec) -> tuple[int | None, ...]:
        """Return the shape that an application gives: any number of rows, also to a fixed batch."""
        if not self.signature.batched:
            return spec.shape
        return tuple(None if i == spec.batch else size for i, size in enumerate(spec.shape))

    def _rows_axis_advice(self, spec: TensorSpec, array: NDArray[Any]) -> str:
        """Return what to do about rows without their axis, the likeliest mistake."""
        if not self.signature.batched or array.ndim != len(spec.shape) - 1:
            return ""
        axis = spec.batch
        return f"; axis {axis} is that of the rows: for one row give np.expand_dims(x, {axis})"

    def _tensor(self, spec: TensorSpec, value: Any, one: bool) -> NDArray[Any]:
        if type(value) is not np.ndarray:
            from edge_sdk.model.pictures import as_array  # most devices never see one

            value = as_array(spec, spec.batch if self.signature.batched else None, value)
        given, shape = _array(spec.name, value), self._shape(spec)
        array = given
        if one and self.signature.batched and array.ndim == len(shape) - 1:
            array = np.expand_dims(array, spec.batch)
        fits = array.ndim == len(shape) and all(
            want is None or want == have for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            advice = "" if one else self._rows_axis_advice(spec, given)
            raise InputError(
                "shape",
                f"input {spec.name!r}: expected shape {_shown(shape)}, got {_shown(given.shape)}"
                f"{advice}",
            )
        if spec.dtype == STRING:
            return _strings(spec.name, array.ravel()).reshape(array.shape)
        converted = _convert(array, spec.dtype, [spec.name])
        self._check_finite(converted, [spec.name])
        return np.asarray(converted, order="C")


def _shown(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _array(name: str, value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except Exception as error:  # whatever a foreign object's conversion raises
        raise InputError(
            "dtype",
            f"input {name!r}: expected an array, all rows of one shape, got {type(value).__name__}",
        ) from error


def _counted(column: Column, values: NDArray[Any]) -> NDArray[Any]:
    """Return ``values`` for counting: the text of a missing value becomes ``None``."""
    if column.lacking:
        values[values == MISSING_TEXT] = None
    return values


def _dense_tensor(signature: Signature) -> TensorSpec | None:
    if len(signature.inputs) != 1 or not signature.columns:
        return None
    tensor = signature.inputs[0]
    ordered = [column.index for column in signature.columns] == list(range(len(signature.columns)))
    same = all(column.dtype == tensor.dtype for column in signature.columns)
    return tensor if ordered and same and tensor.dtype != STRING else None


def _numbers(name: str, values: Any) -> NDArray[Any]:
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.ndim == 1 and array.dtype.kind in "biuf":
        return array
    if array.ndim == 1 and array.dtype.kind in "mM":
        return _seconds(name, seconds, array)
    # Value by value, so that the message can name the one that does not fit.
    return np.array([_number(name, value) for value in values])


def _number(name: str, value: Any) -> float | int:
    if value is None:
        return float("nan")
    if is_time(value):
        return _seconds(name, seconds_of, value)
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return value.item() if isinstance(value, np.generic) else value
    if is_missing(value):  # such as the NA of pandas
        return float("nan")
    raise InputError("dtype", f"feature {name!r}: expected a number, got {value!r:.60}")


def _seconds(name: str, convert: Callable[[Any], T], times: Any) -> T:
    try:
        return convert(times)
    except TypeError as error:  # NumPy's years and months, which are of no fixed length
        raise InputError(
            "dtype", f"feature {name!r}: expected a time in weeks or less, got {times!r:.60}"
        ) from error


def _strings(name: str, values: Any) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        if not isinstance(value, str):
            kind = "missing" if is_missing(value) else "dtype"
            raise InputError(kind, f"feature {name!r}: expected a string, got {value!r:.60}")
        array[i] = _encodable(name, value)
    return array


def _encodable(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError("dtype", f"feature {name!r}: expected Unicode text; {error}") from error
    return str(value)


def _convert(x: NDArray[Any], dtype: str, names: Sequence[str]) -> NDArray[Any]:
    """``x`` as ``dtype``, refusing what the cast would change beyond rounding a float."""
    target = np.dtype(dtype)
    if x.dtype == target:
        return x
    if x.dtype.kind not in "biuf":
        raise InputError("dtype", f"feature {names[0]!r}: expected {dtype}, got {x.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = x.astype(target)
        # astype wraps integers and truncates floats silently; casting back reveals it. Floats may
        # round, but not become infinite.
        if target.kind == "f":
            changed = np.isinf(converted) & np.isfinite(x)
        else:
            changed = converted.astype(x.dtype) != x
    if changed.any():
        where = tuple(int(i) for i in np.argwhere(changed)[0])
        name = names[where[1] if x.ndim > 1 and where[1] < len(names) else 0]
        kind = "missing" if np.isnan(x[where]) else "dtype"
        raise InputError(kind, f"feature {name!r}: expected {dtype}, got {x[where]}")
    return converted
