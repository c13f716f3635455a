"""Rows and tables of data frame libraries, as columns by name.

They are recognised by their methods: no such library is imported, and none need be installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge_sdk.errors import InputError
from edge_sdk.system.logs import Log

_log = Log(__name__)

NAMED: Final = 20
"""Columns that a message names at most."""


def is_frame(x: Any) -> bool:
    """Return whether ``x`` is a table with named columns, such as a DataFrame."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def is_series(x: Any) -> bool:
    """Return whether ``x`` is one row with names, or a column, such as a Series."""
    named = hasattr(x, "index") and not callable(x.index)  # of Arrow's arrays it is a method
    return named and hasattr(x, "to_numpy") and not hasattr(x, "columns")


def columns_of(frame: Any) -> dict[str, Any]:
    """Return the columns of a frame by name, each an array [N].

    Raises:
        InputError: two columns have one name.
    """
    _check_once([str(name) for name in frame.columns])
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def row_of_frame(frame: Any) -> dict[str, Any]:
    """Return the only row of a frame, by column name.

    Raises:
        InputError: it has none, or several.
    """
    if len(frame) != 1:
        raise InputError(
            "shape", f"expected a table of one row, got {len(frame)}: use predict_batch"
        )
    return {name: values[0] for name, values in columns_of(frame).items()}


def row_of_series(series: Any, names: Sequence[str]) -> Mapping[str, Any] | list[Any]:
    """Return a row by name where its index names it, else its values in order.

    Args:
        series: one row, as ``frame.iloc[0]`` gives it.
        names: of the features, in order.

    Raises:
        InputError: two values have one name.
    """
    values, labels = list(series), [str(label) for label in series.index]
    if labels == [str(i) for i in range(len(labels))] and labels != list(names):
        return values
    _check_once(labels)
    return dict(zip(labels, values, strict=True))


def _check_once(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError("shape", f"expected each column once, got twice: {listed(twice)}")


class NamedFeatures:
    """Names of the features of a release, and what becomes of others beside them.

    Attributes:
        ignored: columns that were given, are no features, and were left out.

    Args:
        names: of the features, in order.
        extra: the release says that other columns are ignored; else they are refused.
    """

    def __init__(self, names: Sequence[str], *, extra: bool = False) -> None:
        self._names = list(names)
        self._known = frozenset(names)
        self._extra = extra
        self.ignored: tuple[str, ...] = ()

    def check(self, row: Mapping[str, Any]) -> None:
        """Refuse a row without all features, or with others where those are not ignored.

        Raises:
            InputError: which are missing, all of them, or which are none.
        """
        absent = [name for name in self._names if name not in row]
        if absent:
            some = "feature" if len(absent) == 1 else f"{len(absent)} features"
            verb = "is" if len(absent) == 1 else "are"
            raise InputError("missing", f"expected {some} {listed(absent)}, which {verb} not there")
        if len(row) > len(self._names):
            self._others([str(name) for name in row if name not in self._known])

    def _others(self, names: Sequence[str]) -> None:
        if not self._extra:
            what = "is no feature" if len(names) == 1 else "are no features"
            raise InputError("unknown_feature", f"{listed(names)} {what} of this model")
        new = [name for name in names if name not in self.ignored]
        # Once for each: an application that gives more gives it with every row.
        if new and len(self.ignored) < NAMED:
            self.ignored = (*self.ignored, *new)[:NAMED]
            _log.warning("columns that are no features are left out: %s", listed(new))


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first of many."""
    shown = ", ".join(f"{name!r:.60}" for name in names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
