"""Rows of data in both forms: the original framework's table, the device's tensors.

Invariant: the original sees the user's own values, in the user's own types; the device sees them as
its tensors hold them. Where float32 is too narrow for a model, its rows are ``wide``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from edge_sdk.contract.dtypes import Dtype
from edge_sdk.contract.manifest import Column, TensorSpec

_EXACT_INTEGERS: Final = 1 << 24
"""Up to here float32 holds every integer; larger ones (identifiers) get a tensor of their own."""

_KINDS: Final[dict[str, Dtype]] = {"f": "float32", "i": "int64", "u": "int64", "b": "bool"}


@dataclass(frozen=True)
class Rows:
    """A table of N rows.

    Attributes:
        columns: name and dtype of each feature; its tensor and place in it.
        table: the user's: a 2-D array of numbers, a DataFrame, or an array of texts [N] for models
            that take documents.
        unread: columns of the table that no tensor holds, and why, by name.
    """

    columns: tuple[Column, ...]
    table: Any
    unread: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def dense(self) -> bool:
        """True if all columns live in one tensor of numbers."""
        return (
            len({column.tensor for column in self.columns}) == 1
            and len(self.columns) > 0
            and self.columns[0].dtype != "string"
        )

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Input tensors of a model of these columns."""
        if self.dense:
            first = self.columns[0]
            return (TensorSpec(first.tensor, first.dtype, (None, len(self.columns))),)
        return tuple(TensorSpec(c.tensor, c.dtype, (None, 1)) for c in self.columns)

    @property
    def framed(self) -> bool:
        """True if the table is a DataFrame."""
        return hasattr(self.table, "iloc")

    def take(self, indices: Any) -> Rows:
        """Return the rows at ``indices``."""
        table = self.table.iloc[indices] if self.framed else self.table[indices]
        return replace(self, table=table)

    def column(self, index: int) -> NDArray[Any]:
        """Return the values of one feature as the device's tensor has them, [N]."""
        values = self.own_column(index)
        dtype = self.columns[index].dtype
        return _objects(values) if dtype == "string" else values.astype(dtype, copy=False)

    def own_column(self, index: int) -> NDArray[Any]:
        """Return the values of one feature in the user's own type, [N]."""
        if self.framed:
            values: NDArray[Any] = self.table.iloc[:, self._place(index)].to_numpy()
            return values
        return np.asarray(self.table if self.table.ndim == 1 else self.table[:, index])

    def _place(self, index: int) -> int:
        """Return the place of a feature among all columns of the DataFrame."""
        if len(self.columns) == self.table.shape[1]:
            return index
        return list(map(str, self.table.columns)).index(self.columns[index].name)

    def is_single(self, index: int) -> bool:
        """Return True if the user's values of one feature are in float32 already."""
        return self.own_column(index).dtype in (np.float32, np.float16)

    @property
    def rounded(self) -> bool:
        """True if the tensors do not hold the user's numbers exactly."""
        floats = [i for i, column in enumerate(self.columns) if column.dtype == "float32"]
        return any(_is_rounded(self.own_column(i)) for i in floats)

    def numbers(self) -> NDArray[Any]:
        """Return dense rows as floats, [N, columns]: float32 if the user's are, else float64."""
        values = np.column_stack([self.own_column(i) for i in range(len(self.columns))])
        return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)

    def for_device(self) -> Any:
        """Return the rows as :class:`edge_sdk.model.schema.InputSchema` takes a batch."""
        if self.framed or self.table.ndim == 1:
            return {c.name: self._as_sent(i) for i, c in enumerate(self.columns)}
        return self.table

    def _as_sent(self, index: int) -> NDArray[Any]:
        """Return one feature as an app sends it: numbers in the user's own type."""
        is_text = self.columns[index].dtype == "string"
        return self.column(index) if is_text else self.own_column(index)

    def with_values(self, table: NDArray[Any]) -> Rows:
        """Return dense rows with other values, [N, columns]."""
        if self.framed:
            table = type(self.table)(table, columns=list(self.table.columns))
        return replace(self, table=table)

    def with_column(self, index: int, values: NDArray[Any]) -> Rows:
        """Return the same rows with other values of one feature, [N]."""
        table = self.table.copy()
        if self.framed:
            name = table.columns[self._place(index)]
            categories = getattr(table[name].dtype, "categories", None)
            table[name] = values
            if categories is not None:  # a category stays one, whatever the values are
                table[name] = table[name].astype("category")
        elif table.ndim == 1:
            table = values
        else:
            table[:, index] = values
        return replace(self, table=table)


def rows_of(
    X: Any,
    names: list[str] | None = None,
    *,
    width: int | None = None,
    apart: bool = False,
    wide: bool = False,
    optional: frozenset[str] | None = None,
) -> Rows:
    """Return rows from a 2-D array, a DataFrame, or a sequence of texts.

    Args:
        X: the data; a sequence of texts is a table of one column, ``text``.
        names: that the model was fitted with; a DataFrame's columns are put into their order.
        width: how many features the model takes.
        apart: give each column of a DataFrame its own tensor, even if one could hold them all.
        wide: give fractions tensors of float64.
        optional: columns that the model was fitted with and does not read, if it reads a
            DataFrame's columns by name; others than the model's are left out then.

    Raises:
        ConversionError: not two-dimensional, empty, other features than the model's, or of a dtype
            that no tensor has.
    """
    texts = _texts(X)
    if texts is not None:
        return Rows((Column("text", "string", "text", lacking=True),), texts)
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        frame = _ordered(X, names, width, optional)
        rows = _from_frame(frame, fitted_with_names=bool(names), apart=apart, optional=optional)
        return _widened(rows) if wide else rows
    array = table_of(X)
    if width is not None and array.shape[1] != width:
        raise ConversionError(f"X: the model takes {width} features, got {array.shape[1]}")
    labels = names or [f"x{i}" for i in range(array.shape[1])]
    columns = tuple(Column(name, "float32", "X", i) for i, name in enumerate(labels))
    _check_float32(array)
    rows = Rows(columns, array)
    return _widened(rows) if wide else rows


def _widened(rows: Rows) -> Rows:
    """Return the rows with float64 in place of float32."""
    columns = tuple(
        replace(c, dtype="float64") if c.dtype == "float32" else c for c in rows.columns
    )
    return replace(rows, columns=columns)


def refuse_other_tables(X: Any) -> None:
    """Refuse what rows are not read from: arrays of records, sparse matrices, loaders of PyTorch.

    Raises:
        ConversionError: with the call that turns ``X`` into a table that rows are read from.
    """
    if hasattr(X, "toarray"):
        raise ConversionError(
            f"X: expected a 2-D array [rows, features] or a DataFrame, got {type(X).__name__}, "
            "which is sparse; give X.toarray()"
        )
    if any(base.__module__.startswith("torch.utils.data") for base in type(X).__mro__):
        raise ConversionError(
            f"X: expected an array, a list, or a dict of arrays, got {type(X).__name__}; collect "
            "the rows of a data set or loader first"
        )
    names = getattr(getattr(X, "dtype", None), "names", None)
    if names:
        raise ConversionError(
            f"X: expected a 2-D array [rows, features] or a DataFrame, got an array of records "
            f"with the fields {list(names)[:10]}; give pandas.DataFrame(X)"
        )


def refuse_swapped(X: Any, y: Any, width: int | None) -> None:
    """Refuse rows and labels that were given in each other's place.

    Args:
        X: rows, as the caller gave them.
        y: labels or values, as the caller gave them.
        width: how many features the model takes, where that is known.

    Raises:
        ConversionError: ``X`` has one axis, and ``y`` two as the model's rows have.
    """
    labels, table = shape_of(X), shape_of(y)
    if len(labels) != 1 or len(table) != 2 or table[1] < 2:
        return
    if isinstance(next(iter(X), None), Mapping):  # a list of feeds
        return
    # Documents [N] with several targets [N, outputs] have the same shapes, but models of documents
    # name no width, and their rows are texts.
    if table[1] == width or (width is None and _texts(X) is None):
        raise ConversionError(
            f"X, y: expected rows [N, features] and then their labels [N], got shapes {labels} and "
            f"{table}; are they swapped? Call convert(model, X, y)"
        )


def shape_of(values: Any) -> tuple[int, ...]:
    """Return the shape of an array, DataFrame or nested list; ``()`` for what has none."""
    if hasattr(values, "shape"):
        return tuple(values.shape)
    try:
        return np.shape(values) if isinstance(values, list | tuple) else ()
    except ValueError:  # rows of different lengths
        return ()


def _texts(X: Any) -> NDArray[Any] | None:
    """Return a sequence of documents as an array [N]; ``None`` if ``X`` is something else."""
    if isinstance(X, str) or not hasattr(X, "__len__") or hasattr(X, "columns") or len(X) == 0:
        return None
    if getattr(X, "ndim", 1) != 1 or not all(isinstance(value, str) for value in X):
        return None
    texts = np.empty(len(X), dtype=object)  # np.array(X) would pad all to the longest text
    texts[:] = list(X)
    return texts


def table_of(X: Any) -> NDArray[Any]:
    """Return ``X`` as a 2-D array of numbers with at least one row and one column.

    Raises:
        ConversionError: ``X`` is something else.
    """
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ConversionError(f"X: expected rows of equal length; {error}") from error
    if array.ndim != 2 or 0 in array.shape:
        raise ConversionError(
            f"X: expected a 2-D array [rows, features] with rows, got shape {array.shape}"
        )
    if array.dtype.kind not in _KINDS:
        raise ConversionError(
            f"X: expected numbers, got dtype {array.dtype}; give a DataFrame for mixed columns"
        )
    return array


def _ordered(
    frame: Any, names: list[str] | None, width: int | None, optional: frozenset[str] | None
) -> Any:
    """Return the frame with the model's columns in the model's order."""
    if len(frame) == 0:
        raise ConversionError("X: expected at least one row, got none")
    columns = [str(name) for name in frame.columns]
    if len(set(columns)) < len(columns):
        raise ConversionError(f"X: expected columns of different names, got {columns}")
    if names is None:
        if width is not None and len(columns) != width:
            raise ConversionError(f"X: the model takes {width} features, got {len(columns)}")
        return frame
    absent, extra = sorted(set(names) - set(columns)), sorted(set(columns) - set(names))
    if optional is not None:  # scikit-learn's ColumnTransformer looks for what it reads, by name
        absent, extra = sorted(set(absent) - optional), []
    if absent or extra:
        raise ConversionError(
            f"X: expected the columns that the model was fitted with; missing {absent[:5]}, "
            f"not known to the model {extra[:5]}"
        )
    return frame.iloc[:, [columns.index(name) for name in names if name in columns]]


def _from_frame(
    frame: Any, *, fitted_with_names: bool, apart: bool, optional: frozenset[str] | None
) -> Rows:
    names = [str(name) for name in frame.columns]
    arrays = [frame.iloc[:, i].to_numpy() for i in range(len(names))]
    kinds, unread = _kinds(names, arrays, optional or frozenset())
    categories = [hasattr(kind, "categories") for kind in frame.dtypes]
    if not apart and not unread and not any(categories) and all(map(_fits_float32, arrays)):
        columns = tuple(Column(name, "float32", "X", i) for i, name in enumerate(names))
        _check_float32(np.column_stack(arrays))
        # scikit-learn warns about rows without names only if it was fitted with some.
        return Rows(columns, frame if fitted_with_names else np.column_stack(arrays))
    # One tensor a column. Texts may be missing until the parity gate has learnt otherwise.
    columns = tuple(
        Column(n, kinds[n], n, 0, lacking=True if kinds[n] == "string" else None)
        for n in names
        if n in kinds
    )
    texts = {
        label: _objects(array)
        for label, name, array, coded in zip(frame.columns, names, arrays, categories, strict=True)
        if kinds.get(name) == "string" and not coded
    }
    return Rows(columns, frame.assign(**texts) if texts else frame, unread)


def _kinds(
    names: list[str], arrays: list[NDArray[Any]], optional: frozenset[str]
) -> tuple[dict[str, Dtype], dict[str, str]]:
    """Return the dtype of each column that a tensor holds, and why not of the others, by name.

    Raises:
        ConversionError: a column that the model reads is held by no tensor.
    """
    kinds: dict[str, Dtype] = {}
    unread: dict[str, str] = {}
    for name, array in zip(names, arrays, strict=True):
        try:
            kinds[name] = _dtype(name, array)
        except ConversionError as error:
            if name not in optional:
                raise
            unread[name] = str(error)
    return kinds, unread


def _fits_float32(values: NDArray[Any]) -> bool:
    """Return whether float32 holds every value but for the rounding of fractions."""
    if values.dtype.kind in "iu":
        return bool((np.abs(values.astype(np.float64)) <= _EXACT_INTEGERS).all())
    return values.dtype.kind in "fb"


def _is_rounded(values: NDArray[Any]) -> bool:
    """Return True if float32 does not hold these numbers exactly."""
    if values.dtype in (np.float32, np.float16, np.bool_):
        return False
    there = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return bool((there.astype(np.float32) != there).any())


def _check_float32(values: NDArray[Any]) -> None:
    """Refuse numbers that float32 does not hold.

    Raises:
        ConversionError: with the number and its place.
    """
    with np.errstate(over="ignore"):  # overflow becomes infinity, which is refused below
        rounded = values.astype(np.float32)
    if np.isinf(rounded).any():
        row, column = (int(i) for i in np.argwhere(np.isinf(rounded))[0])
        raise ConversionError(
            f"X: expected numbers that float32 holds, got {values[row, column]} in row {row}, "
            f"column {column}"
        )


def _dtype(name: str, values: NDArray[Any]) -> Dtype:
    if values.dtype.kind in _KINDS:
        return _KINDS[values.dtype.kind]
    present = [value for value in values if not _is_gap(value)]
    if present and all(isinstance(value, str) for value in present):
        return "string"
    raise ConversionError(
        f"column {name!r}: expected numbers or strings throughout, got {values.dtype} with "
        f"{sorted({type(v).__name__ for v in values})[:4]}"
    )


def _is_gap(value: Any) -> bool:
    """Return whether a value of a text column is missing: ``None``, NaN or pandas' NA."""
    # pandas is optional here, so NA goes by its name; NaN alone differs from itself.
    return value is None or type(value).__name__ == "NAType" or (value != value) is True


def _objects(values: NDArray[Any]) -> NDArray[Any]:
    """Return texts as objects; pandas' NA, which compares with nothing, becomes NaN."""
    objects = np.empty(len(values), dtype=object)
    objects[:] = [np.nan if type(v).__name__ == "NAType" else v for v in values]
    return objects
