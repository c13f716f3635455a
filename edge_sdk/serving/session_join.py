"""The features of a unit's session, joined with those that come with the call.

Of one column the call's value counts before the session's, and that before a stored entity's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.model.tables import columns_of, is_frame

if TYPE_CHECKING:
    from edge_sdk.sessions.session_store import SessionStore
    from edge_sdk.telemetry.monitor import Monitor


class SessionJoin:
    """The session features that are columns of one release.

    Args:
        sessions: of the model.
        columns: of the release.
        monitor: counts the predictions of units without a session.
    """

    def __init__(self, sessions: SessionStore, columns: Collection[str], monitor: Monitor) -> None:
        self.sessions = sessions
        self._readers = sessions.rules.readers_of(columns)
        self._monitor = monitor

    def joined(self, unit: str, x: Any, entity: str | None, *, precomputed: bool) -> Any:
        """Return the row that the model is to answer for a unit.

        Args:
            unit: a checked text.
            x: input of the call; a row that is no dict is a whole one, and stays as it is.
            entity: of the call.
            precomputed: there are precomputed answers by entity. They are given where neither the
                call nor a session knows more.
        """
        readers = self._readers
        if not readers or (x is not None and type(x) is not dict and not isinstance(x, Mapping)):
            return x
        if x is None and precomputed and entity is not None and not self.sessions.lives(unit):
            return None
        row, lives = self.sessions.values(unit, readers)
        if not lives and entity is None:  # else its own join counts: once for a prediction
            self._monitor.record_joined(None)
        if x is not None:
            row.update(x)
        return row

    def joined_rows(self, unit: str, x: Any) -> Any:
        """Return the rows of a batch or a ranking for a unit: all have its session's features.

        Args:
            unit: a checked text.
            x: a list of dicts, or columns by name; rows of other kinds are whole ones.
        """
        if not self._readers:
            return x
        if is_frame(x):
            x = columns_of(x)
        if isinstance(x, Mapping):
            row, _ = self.sessions.values(unit, self._readers)
            count = len(next(iter(x.values()), ()))
            return {**{name: [value] * count for name, value in row.items()}, **x}
        if isinstance(x, list | tuple) and x and all(isinstance(each, Mapping) for each in x):
            row, _ = self.sessions.values(unit, self._readers)
            return [{**row, **each} for each in x]
        return x
