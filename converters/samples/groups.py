"""Groups of rows that a release declares: what was asked for, and what the rows have of it."""

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
from edge_sdk.telemetry.groups import Codes, Groups
from edge_sdk.telemetry.histograms import category, is_missing

EXAMPLE: Final = "such as 30,60"


@dataclass(frozen=True)
class DeclaredGroups:
    """A declared column, and to which of its groups each row belongs, [N]; ``None`` where the rows
    do not tell.
    """

    column: GroupColumn
    codes: Codes | None

    def take(self, rows: Any) -> DeclaredGroups:
        """Of the rows at ``rows``."""
        return self if self.codes is None else replace(self, codes=self.codes[rows])

    def each(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Each group that has rows, with where they are."""
        for i, name in enumerate(self.column.groups):
            rows = np.flatnonzero(self.codes == i) if self.codes is not None else ()
            if len(rows):
                yield name, np.asarray(rows)


def declare(
    X: Any, groups: Any, *, names: Sequence[str] | None, width: int | None
) -> tuple[Any, tuple[DeclaredGroups, ...]]:
    """What ``groups`` asks for, and ``X`` without the columns that only say the group.

    Args:
        X: rows as :func:`converters.convert` takes them.
        groups: see :func:`converters.convert`.
        names: of the model's features, where it has some.
        width: how many features the model takes, where that is known.

    Raises:
        ConversionError: an unknown column, too many groups, numbers without cut points.
    """
    known = _known(X, names)
    found = [_one(X, spec, given, known) for spec, given in _asked(groups)]
    asked = [each.column.name for each in found]
    twice = sorted({name for name in asked if asked.count(name) > 1})
    if twice:
        raise ConversionError(f"groups: expected each column once, got {twice[0]!r} twice")
    if len(found) > GROUP_COLUMNS:
        raise ConversionError(f"groups: expected at most {GROUP_COLUMNS} columns, got {len(found)}")
    there = [name for name in asked if name in known]
    return _without(X, _apart(X, there, known, names, width)), tuple(found)


def without_groups(rows: Any, X: Any, declared: Sequence[DeclaredGroups]) -> Any:
    """``rows`` without the columns that only said the group in ``X``."""
    if not hasattr(rows, "iloc") or not hasattr(X, "iloc"):
        return rows
    only = {each.column.name for each in declared} - set(map(str, X.columns))
    return _without(rows, [name for name in map(str, rows.columns) if name in only])


def check_rows(declared: Sequence[DeclaredGroups], rows: int) -> None:
    """Refuse groups of other rows than the ``rows`` that there are; raises ConversionError."""
    for each in declared:
        if each.codes is not None and len(each.codes) != rows:
            raise ConversionError(
                f"groups: {each.column.name}: expected {rows} values, one for each row of X; got "
                f"{len(each.codes)}"
            )


def _one(X: Any, spec: str | GroupColumn, given: Any, known: Sequence[str]) -> DeclaredGroups:
    """What one of ``groups`` asks for."""
    if isinstance(spec, GroupColumn):
        values = _values(X, spec.name, known) if given is None and spec.name in known else given
        return DeclaredGroups(spec, None if values is None else _codes(spec, values))
    name, edges = _parsed(spec, known if given is None else ())
    if given is None and name not in known:
        raise ConversionError(
            f"groups: expected columns of X, there is no {name!r} among {list(known)[:10]}"
        )
    return _declared(name, edges, _values(X, name, known) if given is None else given)


def _asked(groups: Any) -> Iterator[tuple[str | GroupColumn, Any]]:
    """What is asked for, with its values where they are given apart from the rows."""
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


def _parsed(spec: str, known: Sequence[str]) -> tuple[str, tuple[float, ...]]:
    """The column and the cut points of ``age:30,60``."""
    name, colon, text = spec.rpartition(":")
    if not colon or spec in known:
        return spec, ()
    try:
        edges = tuple(float(edge) for edge in text.split(","))
    except ValueError:
        edges = ()
    if not edges or not all(map(math.isfinite, edges)):
        raise ConversionError(f"groups: {name}: expected cut points {EXAMPLE}, got {text!r}")
    return name, edges


def _known(X: Any, names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the columns of ``X``."""
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


def _apart(
    X: Any,
    there: Sequence[str],
    known: Sequence[str],
    names: Sequence[str] | None,
    width: int | None,
) -> list[str]:
    """Which of the columns ``there`` only say the group: the model takes the others."""
    if names:
        return [name for name in there if name not in names]
    more = 0 if width is None else len(known) - width
    if more <= 0 or more >= len(there):
        return list(there) if more > 0 else []
    texts = [n for n in there if not _are_numbers(_values(X, n, known))]
    if len(texts) != more:
        raise ConversionError(
            f"groups: X has {len(known)} columns and the model takes {width}, which it does not "
            "name; give groups that are not the model's beside X, as {name: values}"
        )
    return texts


def _values(X: Any, name: str, known: Sequence[str]) -> list[Any]:
    if hasattr(X, "iloc"):
        values = X.iloc[:, known.index(name)].to_numpy()
    elif isinstance(X, Sequence):
        return [row.get(name) for row in X]
    else:
        values = np.asarray(X)[:, known.index(name)]
    found: list[Any] = values.tolist()
    return found


def _without(X: Any, names: Sequence[str]) -> Any:
    if not names:
        return X
    if hasattr(X, "iloc"):
        return X.loc[:, [str(name) not in names for name in X.columns]]
    if hasattr(X, "shape"):
        return X[:, [name not in names for name in _numbered(X.shape[1])]]
    return [{n: value for n, value in row.items() if n not in names} for row in X]


def _declared(name: str, edges: tuple[float, ...], given: Any) -> DeclaredGroups:
    values = _plain(name, given)
    there = [value for value in values if not is_missing(value)]
    if not there:
        raise ConversionError(f"groups: {name}: expected values, all of them are missing")
    numbers = _are_numbers(there)
    if edges and not numbers:
        raise ConversionError(f"groups: {name}: cut points are for numbers, got {there[0]!r:.60}")
    try:
        column = GroupColumn(name, edges=edges) if edges else _named(name, there, numbers)
    except ContractError as error:
        raise ConversionError(f"groups: {error}") from error
    return DeclaredGroups(column, _codes(column, values))


def _named(name: str, there: Sequence[Any], numbers: bool) -> GroupColumn:
    """A column whose values are its groups."""
    distinct = set(there)
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
    return GroupColumn(name, values=tuple(sorted(names)) or (category(there[0]),))


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float | None) for value in values)  # bool is an int


def _codes(column: GroupColumn, values: Any) -> Codes:
    return Groups(column).codes(_plain(column.name, values))


def _plain(name: str, values: Any) -> list[Any]:
    """Values as Python's own; pandas' NA, which compares with nothing, as ``None``."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    found = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise ConversionError(f"groups: {name}: expected a value for each row, got {found!r:.60}")
    plain = [None if type(value).__name__ in ("NAType", "NaTType") else value for value in found]
    for value in plain:
        if not isinstance(value, str | int | float | None):
            raise ConversionError(
                f"groups: {name}: expected texts or numbers, got {type(value).__name__}"
            )
    return plain
