"""The declared groups of a row.

A group is one byte from here to the report: its place in the column's
:attr:`~edge_sdk.contract.groups.GroupColumn.groups`. Groups by a column of the model are read off
the rows that monitoring keeps anyway, when it folds them; ``predict`` does nothing for them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.groups import LACKING, OTHER, GroupColumn
from edge_sdk.errors import InputError
from edge_sdk.model.schema import MISSING_TEXT
from edge_sdk.model.tables import is_frame, is_series, row_of_frame, row_of_series
from edge_sdk.model.values import category, is_missing
from edge_sdk.validation import number_of

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column
    from edge_sdk.model.release import Feed

Codes = NDArray[np.uint8]
"""Groups of N rows by declared column, [N, columns]."""

GroupValues = Mapping[str, Any]
"""Groups as an application names them: a value by column, or N of them for a batch."""


class Groups:
    """The groups of one declared column."""

    def __init__(self, column: GroupColumn) -> None:
        self.column = column
        self.names = column.groups
        self.missing, self._other = self.names.index(LACKING), self.names.index(OTHER)
        self._code_of = {name: i for i, name in enumerate(self.names)} | {
            MISSING_TEXT: self.missing
        }
        self._texts = not column.edges

    def code(self, value: Any) -> int:
        """Return the place of the group of one value.

        Raises:
            InputError: it is none: a list, or a text where the groups are of numbers.
        """
        if self._texts and type(value) is str:  # most are
            return self._code_of.get(value, self._other)
        name, edges = self.column.name, self.column.edges
        if not _is_scalar(value):
            raise InputError("group", f"group {name!r}: expected one value, got {value!r:.60}")
        if is_missing(value) or value == MISSING_TEXT:
            return self.missing
        if not edges:
            return self._code_of.get(category(value), self._other)
        number = number_of(value)
        if number != number:  # what is missing was told apart above
            raise InputError("group", f"group {name!r}: expected a number, got {value!r:.60}")
        return bisect_right(edges, number)

    def codes(self, values: Sequence[Any] | NDArray[Any]) -> Codes:
        """Return those of N values; raises like :meth:`code`."""
        if self.column.edges and isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            numbers = values.astype(np.float64)
            places = np.digitize(numbers, self.column.edges)
            return np.where(np.isnan(numbers), self.missing, places).astype(np.uint8)
        plain = values.tolist() if isinstance(values, np.ndarray) else values
        try:
            codes = {value: self.code(value) for value in set(plain)}  # few differ
        except TypeError:  # something that cannot be in a set is no value
            return np.array([self.code(value) for value in plain], np.uint8)
        return np.fromiter(map(codes.__getitem__, plain), np.uint8, len(plain))


class Grouping:
    """The declared groups of a release, which takes ``columns``; false where there are none.

    Attributes:
        columns: one after the other, as declared.
        app_columns: names of those that are no columns of the model: the application names the
            group of a row in them.
    """

    def __init__(self, declared: Sequence[GroupColumn], columns: Sequence[Column]) -> None:
        places = {column.name: i for i, column in enumerate(columns)}
        self.columns = [Groups(column) for column in declared]
        self._places = [places.get(groups.column.name) for groups in self.columns]
        self._tensors = [None if i is None else columns[i] for i in self._places]
        self._by_app = {
            groups.column.name: groups
            for groups, place in zip(self.columns, self._places, strict=True)
            if place is None
        }
        self.app_columns = tuple(self._by_app)
        self._unnamed = bytes(groups.missing for groups in self._by_app.values())
        self._rows = bool(columns)
        self._names = list(places)

    def __bool__(self) -> bool:
        return bool(self.columns)

    def encode(self, groups: GroupValues) -> bytes:
        """Return the codes of one row, of the columns that the application names groups in.

        A column that this release does not declare means nothing to it: the application outlives
        releases.

        Raises:
            InputError: a value is none.
        """
        check_group_values(groups)
        return bytes([each.code(groups.get(name)) for name, each in self._by_app.items()])

    def split(self, x: Any, groups: GroupValues | None) -> tuple[Any, GroupValues | None]:
        """Return a row without the columns that are not the model's, and the groups in those."""
        if not self._by_app or not self._rows:
            return x, groups
        if is_frame(x):
            x = row_of_frame(x)
        elif is_series(x):
            x = row_of_series(x, self._names)
        if not isinstance(x, Mapping):
            return x, groups
        in_row = {name: x[name] for name in self.app_columns if name in x}
        if not in_row:
            return x, groups
        rest = {name: value for name, value in x.items() if name not in in_row}
        return rest, _merged(in_row, groups)

    def split_batch(self, x: Any, groups: GroupValues | None) -> tuple[Any, GroupValues | None]:
        """The same for N rows: a DataFrame, columns by name, or a list of dicts."""
        if groups is not None:
            check_group_values(groups)
        if not self._by_app or not self._rows:
            return x, groups
        if hasattr(x, "columns") and hasattr(x, "drop"):
            in_rows = {name: x[name].to_numpy() for name in self.app_columns if name in x.columns}
            return x.drop(columns=list(in_rows)), _merged(in_rows, groups)
        if not isinstance(x, Sequence) or not all(isinstance(row, Mapping) for row in x):
            return self.split(x, groups)
        pairs = [self.split(row, None) for row in x]
        by_row = [values or {} for _, values in pairs]
        in_rows = {name: [values.get(name) for values in by_row] for name in self.app_columns}
        return [row for row, _ in pairs], _merged(in_rows, groups)

    def codes(self, columns: Any, encoded: Sequence[bytes | None]) -> Codes:
        """Return the groups of N rows.

        Args:
            columns: one sequence of N values per feature.
            encoded: of each row what :meth:`encode` returned, or ``None``.
        """
        codes = np.empty((len(encoded), len(self.columns)), np.uint8)
        raw = b"".join([self._unnamed if each is None else each for each in encoded])
        by_app = iter(np.frombuffer(raw, np.uint8).reshape(len(encoded), -1).T)
        for i, (groups, place) in enumerate(zip(self.columns, self._places, strict=True)):
            codes[:, i] = next(by_app) if place is None else groups.codes(columns[place])
        return codes

    def unknown(self, count: int) -> Codes:
        """Return the groups of N inputs of which nothing is known."""
        return np.tile(np.array([each.missing for each in self.columns], np.uint8), (count, 1))

    def batch(self, feed: Feed, groups: GroupValues | None, count: int) -> Codes:
        """Return the groups of the rows of a batch.

        Args:
            feed: tensors of the batch.
            groups: values by column, as the application names them.
            count: of rows.

        Raises:
            InputError: not one value for each row, or a value is none.
        """
        codes = np.empty((count, len(self.columns)), np.uint8)
        for i, (each, column) in enumerate(zip(self.columns, self._tensors, strict=True)):
            if column is not None:
                codes[:, i] = each.codes(feed[column.tensor][:, column.index])
            else:
                codes[:, i] = _of_rows(each, (groups or {}).get(each.column.name), count)
        return codes

    def names(self, codes: Sequence[int]) -> Iterator[tuple[str, str]]:
        """Yield (column, group) of one row's codes."""
        for groups, code in zip(self.columns, codes, strict=False):
            yield groups.column.name, groups.names[code]


def check_group_values(groups: Any) -> None:
    """Refuse what names no columns; raises :class:`InputError`."""
    if type(groups) is not dict and not isinstance(groups, Mapping):
        raise InputError("group", f"groups: expected them by column, got {groups!r:.60}")


def _merged(in_rows: GroupValues, groups: GroupValues | None) -> GroupValues:
    """Groups in the rows themselves and those named besides, which count where they differ."""
    if groups is None:
        return in_rows
    check_group_values(groups)
    return {**in_rows, **groups}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | np.generic | None)


def _of_rows(groups: Groups, values: Any, count: int) -> Codes | int:
    if values is None:
        return groups.missing
    name = groups.column.name
    lone = isinstance(values, str) or getattr(values, "ndim", 1) == 0  # which has a len, or none
    counted = hasattr(values, "__len__") and not lone
    if not counted or len(values) != count:
        received = len(values) if counted else values
        raise InputError("group", f"group {name!r}: expected {count} values, got {received!r:.60}")
    return groups.codes(values if isinstance(values, np.ndarray) else list(values))
