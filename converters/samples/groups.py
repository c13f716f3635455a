"""Groups of rows that a release declares: their columns, and the group of each row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.groups import LACKING, OTHER, GroupColumn
from edge_sdk.contract.limits import GROUP_COLUMNS, GROUPS
from edge_sdk.model.values import category, is_missing
from edge_sdk.telemetry.groups import Codes, Groups

EXAMPLE: Final = "such as 30,60"


@dataclass(frozen=True)
class DeclaredGroups:
    """A declared column with the group of each row.

    Attributes:
        column: the column and its groups.
        codes: index of the group of each row, [N]; ``None`` where the rows do not tell.
    """

    column: GroupColumn
    codes: Codes | None

    def take(self, rows: Any) -> DeclaredGroups:
        """Return the same for the rows at ``rows``."""
        return self if self.codes is None else replace(self, codes=self.codes[rows])

    def each(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield each group that has rows: its name, and the indices of its rows."""
        for i, name in enumerate(self.column.groups):
            rows = np.flatnonzero(self.codes == i) if self.codes is not None else ()
            if len(rows):
                yield name, np.asarray(rows)


def declare(
    X: Any, groups: Any, *, names: Sequence[str] | None, width: int | None
) -> tuple[Any, tuple[DeclaredGroups, ...]]:
    """Return ``X`` without the columns that only say the group, and the declared groups.

    Args:
        X: rows as :func:`converters.convert` takes them.
        groups: see :func:`converters.convert`.
        names: of the model's features, where it has some.
        width: how many features the model takes, where that is known.

    Raises:
        ConversionError: an unknown column, too many groups, numbers without cut points.
    """
    columns = _column_names(X, names)
    declared = [_declare_one(X, spec, values, columns) for spec, values in _specs(groups)]
    grouped = [each.column.name for each in declared]
    twice = sorted({name for name in grouped if grouped.count(name) > 1})
    if twice:
        raise ConversionError(f"groups: expected each column once, got {twice[0]!r} twice")
    if len(declared) > GROUP_COLUMNS:
        raise ConversionError(
            f"groups: expected at most {GROUP_COLUMNS} columns, got {len(declared)}"
        )
    inside = [name for name in grouped if name in columns]
    return _without(X, _only_groups(X, inside, columns, names, width)), tuple(declared)


def without_groups(rows: Any, X: Any, declared: Sequence[DeclaredGroups]) -> Any:
    """Return ``rows`` without the columns that only said the group in the original ``X``.

    Args:
        rows: other rows of the same columns, for the profile.
        X: the rows that :func:`declare` returned, without those columns.
        declared: the declared groups.
    """
    if not hasattr(rows, "iloc") or not hasattr(X, "iloc"):
        return rows
    only = {each.column.name for each in declared} - set(map(str, X.columns))
    return _without(rows, [name for name in map(str, rows.columns) if name in only])


def check_rows(declared: Sequence[DeclaredGroups], rows: int) -> None:
    """Refuse groups that have another number of rows; raises :class:`ConversionError`."""
    for each in declared:
        if each.codes is not None and len(each.codes) != rows:
            raise ConversionError(
                f"groups: {each.column.name}: expected {rows} values, one for each row of X; got "
                f"{len(each.codes)}"
            )


def _declare_one(
    X: Any, spec: str | GroupColumn, values: Any, columns: Sequence[str]
) -> DeclaredGroups:
    """Return the groups of one spec; ``values`` where the caller gave them apart from the rows."""
    if isinstance(spec, GroupColumn):
        if values is None and spec.name in columns:
            values = _values(X, spec.name, columns)
        return DeclaredGroups(spec, None if values is None else _codes(spec, values))
    name, edges = _parsed(spec, columns if values is None else ())
    if values is None and name not in columns:
        raise ConversionError(
            f"groups: expected columns of X, there is no {name!r} among {list(columns)[:10]}"
        )
    return _declared(name, edges, _values(X, name, columns) if values is None else values)


def _specs(groups: Any) -> Iterator[tuple[str | GroupColumn, Any]]:
    """Yield each spec, with its values where the caller gave them apart from the rows."""
    if groups is None or isinstance(groups, str | GroupColumn):
        groups = () if groups is None else (groups,)
    if not isinstance(groups, list | tuple | Mapping):
        raise ConversionError(
            "groups: expected names of columns of X, or values by name; got "
            f"{type(groups).__name__}"
        )
    for spec in groups:
        if not isinstance(spec, str | GroupColumn):
            raise ConversionError(f"groups: expected names of columns of X, got {spec!r:.60}")
        yield spec, groups[spec] if isinstance(groups, Mapping) else None


def _parsed(spec: str, columns: Sequence[str]) -> tuple[str, tuple[float, ...]]:
    """Return the column and the cut points of ``age:30,60``."""
    name, colon, text = spec.rpartition(":")
    if not colon or spec in columns:  # a column's own name may have a colon
        return spec, ()
    try:
        edges = tuple(float(edge) for edge in text.split(","))
    except ValueError:
        edges = ()
    if not edges or not all(map(math.isfinite, edges)):
        raise ConversionError(f"groups: {name}: expected cut points {EXAMPLE}, got {text!r}")
    return name, edges


def _column_names(X: Any, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the columns of ``X``, as the device will know them."""
    if hasattr(X, "columns"):
        return tuple(map(str, X.columns))
    if isinstance(X, Sequence) and X and isinstance(X[0], Mapping):
        return tuple(map(str, X[0]))
    shape: tuple[int, ...] = np.shape(X) if hasattr(X, "shape") else ()
    if len(shape) != 2:
        return ()
    return tuple(names) if names and len(names) == shape[1] else _numbered(shape[1])


def _numbered(width: int) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(width))


def _only_groups(
    X: Any,
    inside: Sequence[str],
    columns: Sequence[str],
    names: Sequence[str] | None,
    width: int | None,
) -> list[str]:
    """Return the columns of ``inside`` that only say the group: the model takes all others."""
    if names:
        return [name for name in inside if name not in names]
    # A model without names: the surplus of columns is what it does not take.
    surplus = 0 if width is None else len(columns) - width
    if surplus <= 0 or surplus >= len(inside):
        return list(inside) if surplus > 0 else []
    # Some of the grouped columns are the model's. It takes numbers, so texts are the others.
    texts = [n for n in inside if not _are_numbers(_values(X, n, columns))]
    if len(texts) != surplus:
        raise ConversionError(
            f"groups: X has {len(columns)} columns and the model takes {width}, which it does not "
            "name; give groups that are not the model's apart from X, as {name: values}"
        )
    return texts


def _values(X: Any, name: str, columns: Sequence[str]) -> list[Any]:
    if hasattr(X, "iloc"):
        values = X.iloc[:, columns.index(name)].to_numpy()
    elif isinstance(X, Sequence):
        return [row.get(name) for row in X]
    else:
        values = np.asarray(X)[:, columns.index(name)]
    return list(values.tolist())


def _without(X: Any, names: Sequence[str]) -> Any:
    if not names:
        return X
    if hasattr(X, "iloc"):
        return X.loc[:, [str(name) not in names for name in X.columns]]
    if hasattr(X, "shape"):
        return X[:, [name not in names for name in _numbered(X.shape[1])]]
    return [{n: value for n, value in row.items() if n not in names} for row in X]


def _declared(name: str, edges: tuple[float, ...], column_values: Any) -> DeclaredGroups:
    values = _plain(name, column_values)
    present = [value for value in values if not is_missing(value)]
    if not present:
        raise ConversionError(f"groups: {name}: expected values, all of them are missing")
    numbers = _are_numbers(present)
    if edges and not numbers:
        raise ConversionError(f"groups: {name}: cut points are for numbers, got {present[0]!r:.60}")
    try:
        column = GroupColumn(name, edges=edges) if edges else _named(name, present, numbers)
    except ContractError as error:
        raise ConversionError(f"groups: {error}") from error
    return DeclaredGroups(column, _codes(column, values))


def _named(name: str, present: Sequence[Any], numbers: bool) -> GroupColumn:
    """Return a column whose values are its groups."""
    distinct = set(present)
    whole = not numbers or all(float(value).is_integer() for value in distinct)
    if not whole or (numbers and len(distinct) > GROUPS):
        raise ConversionError(
            f"groups: {name}: has {len(distinct)} different numbers; give cut points, "
            f"for example {name}:30,60"
        )
    names = {category(value) for value in distinct} - {OTHER, LACKING}
    if len(names) > GROUPS:
        raise ConversionError(
            f"groups: {name}: has {len(names)} different values, at most {GROUPS} groups are told "
            "apart; join the rare ones"
        )
    return GroupColumn(name, values=tuple(sorted(names)) or (category(present[0]),))


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float | None) for value in values)  # bool is an int


def _codes(column: GroupColumn, values: Any) -> Codes:
    return Groups(column).codes(_plain(column.name, values))


def _plain(name: str, values: Any) -> list[Any]:
    """Return values as Python's own; pandas' NA, which compares with nothing, as ``None``."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    items = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise ConversionError(f"groups: {name}: expected a value for each row, got {items!r:.60}")
    plain = [None if type(value).__name__ in ("NAType", "NaTType") else value for value in items]
    for value in plain:
        if not isinstance(value, str | int | float | None):
            raise ConversionError(
                f"groups: {name}: expected texts or numbers, got {type(value).__name__}"
            )
    return plain
