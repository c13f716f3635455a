"""To which declared group a row belongs.

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
from edge_sdk.model.values import category, is_missing
from edge_sdk.validation import number_of

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column
    from edge_sdk.model.release import Feed

Codes = NDArray[np.uint8]
"""Groups of N rows by declared column, [N, columns]."""

Said = Mapping[str, Any]
"""What an application says of groups: a value by column, or N of them for a batch."""


class Groups:
    """The groups of one declared column."""

    def __init__(self, column: GroupColumn) -> None:
        self.column = column
        self.names = column.groups
        self.missing, self._other = self.names.index(LACKING), self.names.index(OTHER)
        self._known = {name: i for i, name in enumerate(self.names)} | {MISSING_TEXT: self.missing}
        self._texts = not column.edges

    def code(self, value: Any) -> int:
        """The place of the group of one value.

        Raises:
            InputError: it is none: a list, or a text where the groups are of numbers.
        """
        if self._texts and type(value) is str:  # most are
            return self._known.get(value, self._other)
        name, edges = self.column.name, self.column.edges
        if not _is_scalar(value):
            raise InputError("group", f"group {name!r}: expected one value, got {value!r:.60}")
        if is_missing(value) or value == MISSING_TEXT:
            return self.missing
        if not edges:
            return self._known.get(category(value), self._other)
        number = number_of(value)
        if number != number:  # what is missing was told apart above
            raise InputError("group", f"group {name!r}: expected a number, got {value!r:.60}")
        return bisect_right(edges, number)

    def codes(self, values: Sequence[Any] | NDArray[Any]) -> Codes:
        """Those of N values; raises like :meth:`code`."""
        if self.column.edges and isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            numbers = values.astype(np.float64)
            found = np.digitize(numbers, self.column.edges)
            return np.where(np.isnan(numbers), self.missing, found).astype(np.uint8)
        plain = values.tolist() if isinstance(values, np.ndarray) else values
        try:
            known = {value: self.code(value) for value in set(plain)}  # few differ
        except TypeError:  # something that cannot be in a set is no value
            return np.array([self.code(value) for value in plain], np.uint8)
        return np.fromiter(map(known.__getitem__, plain), np.uint8, len(plain))


class Grouping:
    """The declared groups of a release, which takes ``columns``; false where there are none.

    Attributes:
        columns: one after the other, as declared.
        asked: names of those that are no columns of the model: the application says them.
    """

    def __init__(self, declared: Sequence[GroupColumn], columns: Sequence[Column]) -> None:
        places = {column.name: i for i, column in enumerate(columns)}
        self.columns = [Groups(column) for column in declared]
        self._places = [places.get(groups.column.name) for groups in self.columns]
        self._tensors = [None if i is None else columns[i] for i in self._places]
        self._asked = {
            groups.column.name: groups
            for groups, place in zip(self.columns, self._places, strict=True)
            if place is None
        }
        self.asked = tuple(self._asked)
        self._unsaid = bytes(groups.missing for groups in self._asked.values())
        self._rows = bool(columns)

    def __bool__(self) -> bool:
        return bool(self.columns)

    def said(self, groups: Said) -> bytes:
        """The groups of one row, of the columns that are asked for.

        A column that this release does not declare means nothing to it: the application outlives
        releases.

        Raises:
            InputError: a value is none.
        """
        check_said(groups)
        return bytes([each.code(groups.get(name)) for name, each in self._asked.items()])

    def split(self, x: Any, groups: Said | None) -> tuple[Any, Said | None]:
        """A row without the columns that are not the model's, and what it said in them."""
        if not self._asked or not self._rows or not isinstance(x, Mapping):
            return x, groups
        found = {name: x[name] for name in self.asked if name in x}
        if not found:
            return x, groups
        rest = {name: value for name, value in x.items() if name not in found}
        return rest, _both(found, groups)

    def split_batch(self, x: Any, groups: Said | None) -> tuple[Any, Said | None]:
        """The same for N rows: a DataFrame, columns by name, or a list of dicts."""
        if groups is not None:
            check_said(groups)
        if not self._asked or not self._rows:
            return x, groups
        if hasattr(x, "columns") and hasattr(x, "drop"):
            found = {name: x[name].to_numpy() for name in self.asked if name in x.columns}
            return x.drop(columns=list(found)), _both(found, groups)
        if not isinstance(x, Sequence) or not all(isinstance(row, Mapping) for row in x):
            return self.split(x, groups)
        pairs = [self.split(row, None) for row in x]
        told = [said or {} for _, said in pairs]
        found = {name: [said.get(name) for said in told] for name in self.asked}
        return [row for row, _ in pairs], _both(found, groups)

    def codes(self, columns: Any, said: Sequence[bytes | None]) -> Codes:
        """Groups of N rows, from one sequence of values per feature and what was said of each."""
        found = np.empty((len(said), len(self.columns)), np.uint8)
        told = b"".join([self._unsaid if each is None else each for each in said])
        asked = iter(np.frombuffer(told, np.uint8).reshape(len(said), -1).T)
        for i, (groups, place) in enumerate(zip(self.columns, self._places, strict=True)):
            found[:, i] = next(asked) if place is None else groups.codes(columns[place])
        return found

    def batch(self, feed: Feed, groups: Said | None, count: int) -> Codes:
        """Groups of the ``count`` rows of a batch.

        Raises:
            InputError: not one value for each row, or a value is none.
        """
        found = np.empty((count, len(self.columns)), np.uint8)
        for i, (each, column) in enumerate(zip(self.columns, self._tensors, strict=True)):
            if column is not None:
                found[:, i] = each.codes(feed[column.tensor][:, column.index])
            else:
                found[:, i] = _of_rows(each, (groups or {}).get(each.column.name), count)
        return found

    def names(self, codes: Sequence[int]) -> Iterator[tuple[str, str]]:
        """(column, group) of one row's codes."""
        for groups, code in zip(self.columns, codes, strict=False):
            yield groups.column.name, groups.names[code]


def check_said(groups: Any) -> None:
    """Refuse what names no columns; raises :class:`InputError`."""
    if type(groups) is not dict and not isinstance(groups, Mapping):
        raise InputError("group", f"groups: expected them by column, got {groups!r:.60}")


def _both(found: Said, groups: Said | None) -> Said:
    """What rows have and what was said; the latter counts where they differ."""
    if groups is None:
        return found
    check_said(groups)
    return {**found, **groups}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | np.generic | None)


def _of_rows(groups: Groups, values: Any, count: int) -> Codes | int:
    if values is None:
        return groups.missing
    name = groups.column.name
    lone = isinstance(values, str) or getattr(values, "ndim", 1) == 0  # which has a len, or none
    counted = hasattr(values, "__len__") and not lone
    if not counted or len(values) != count:
        came = len(values) if counted else values
        raise InputError("group", f"group {name!r}: expected {count} values, got {came!r:.60}")
    return groups.codes(values if isinstance(values, np.ndarray) else list(values))
