"""Rows of data as both sides need them: the original framework's table, the device's tensors.

Invariant: both sides see the same values. Floating-point columns are rounded to float32 here, once,
because that is what the device's model takes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from edge_sdk.contract.manifest import Column, Dtype, TensorSpec

_KINDS: dict[str, Dtype] = {"f": "float32", "i": "int64", "u": "int64", "b": "bool"}


@dataclass(frozen=True)
class Rows:
    """A table of N rows.

    Attributes:
        columns: name and dtype of each feature; its tensor and place in it.
        table: a 2-D float32 array, or a DataFrame for models that were fitted with names.
    """

    columns: tuple[Column, ...]
    table: Any

    def __len__(self) -> int:
        return len(self.table)

    @property
    def dense(self) -> bool:
        """Whether all columns live in one tensor."""
        return len({column.tensor for column in self.columns}) == 1 and len(self.columns) > 0

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The input tensors that these columns ask for."""
        if self.dense:
            first = self.columns[0]
            return (TensorSpec(first.tensor, first.dtype, (None, len(self.columns))),)
        return tuple(TensorSpec(c.tensor, c.dtype, (None, 1)) for c in self.columns)

    def take(self, indices: Any) -> Rows:
        """The rows at ``indices``."""
        if hasattr(self.table, "iloc"):
            return Rows(self.columns, self.table.iloc[indices])
        return Rows(self.columns, self.table[indices])

    def column(self, index: int) -> NDArray[Any]:
        """Values of one feature, [N]."""
        if hasattr(self.table, "iloc"):
            values: NDArray[Any] = self.table.iloc[:, index].to_numpy()
            return values
        return np.asarray(self.table[:, index])

    def for_device(self) -> Any:
        """What :class:`edge_sdk.schema.InputSchema` takes as a batch."""
        if hasattr(self.table, "iloc"):
            return {c.name: self.column(i) for i, c in enumerate(self.columns)}
        return self.table

    def with_values(self, table: NDArray[Any]) -> Rows:
        """Dense rows with other values, [N, columns]."""
        if hasattr(self.table, "iloc"):
            return Rows(self.columns, type(self.table)(table, columns=list(self.table.columns)))
        return Rows(self.columns, table)


def rows_of(X: Any, names: list[str] | None = None) -> Rows:
    """Rows from a 2-D array or a DataFrame; ``names`` are those the model was fitted with.

    Raises:
        ConversionError: not two-dimensional, empty, or of a dtype that no tensor has.
    """
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return _from_frame(X, fitted_with_names=names is not None)
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ConversionError(f"X: expected rows of equal length; {error}") from error
    if array.ndim != 2 or 0 in array.shape:
        raise ConversionError(f"X: expected a 2-D array [rows, features], got {array.shape}")
    if array.dtype.kind not in _KINDS:
        raise ConversionError(
            f"X: expected numbers, got dtype {array.dtype}; give a DataFrame for mixed columns"
        )
    labels = names or [f"x{i}" for i in range(array.shape[1])]
    columns = tuple(Column(name, "float32", "X", i) for i, name in enumerate(labels))
    return Rows(columns, array.astype(np.float32))


def _from_frame(frame: Any, *, fitted_with_names: bool) -> Rows:
    if len(frame) == 0:
        raise ConversionError("X: expected at least one row, got none")
    kinds = [_dtype(str(name), frame[name].to_numpy()) for name in frame.columns]
    names = [str(name) for name in frame.columns]
    if all(kind != "string" for kind in kinds) and len(set(kinds)) == 1:
        columns = tuple(Column(name, "float32", "X", i) for i, name in enumerate(names))
        table = frame.astype(np.float32)
        return Rows(columns, table if fitted_with_names else table.to_numpy())
    columns = tuple(Column(n, kind, n, 0) for n, kind in zip(names, kinds, strict=True))
    typed = frame.copy()
    for name, kind in zip(frame.columns, kinds, strict=True):
        typed[name] = typed[name].astype(object if kind == "string" else kind)
    return Rows(columns, typed)


def _dtype(name: str, values: NDArray[Any]) -> Dtype:
    if values.dtype.kind in _KINDS:
        return _KINDS[values.dtype.kind]
    if all(isinstance(value, str) for value in values):
        return "string"
    raise ConversionError(
        f"column {name!r}: expected numbers or strings throughout, got {values.dtype} with "
        f"{sorted({type(v).__name__ for v in values})[:4]}; fill missing strings first"
    )


def fingerprint(X: Any, y: Any) -> str:
    """SHA-256 that names the data: shapes, dtypes and values of ``X`` and ``y`` in order."""
    digest = hashlib.sha256()
    for part in (X, y):
        if part is None:
            continue
        array = np.asarray(part)
        if array.dtype == object:
            array = array.astype(str)
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
