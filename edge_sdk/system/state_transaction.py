"""One write transaction, which goes on elsewhere where the disk refuses it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

Statements = list[tuple[str, tuple[Any, ...]]]
"""Statements, each with the arguments that it was run with."""


class StateTransaction:
    """Statements that are run and remembered, in case the disk refuses one of them, or the end.

    Args:
        db: returns the connection that has the open transaction.
        rescue: called with SQLite's error: opens another one that has the same, if it can; whether
            it could.
        statements: takes them; parts of one transaction share it.
    """

    def __init__(
        self,
        db: Callable[[], sqlite3.Connection],
        rescue: Callable[[sqlite3.Error], bool],
        statements: Statements,
    ) -> None:
        self._db = db
        self._rescue = rescue
        self._statements = statements

    def execute(self, sql: str, arguments: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:
            cursor = self._db().execute(sql, arguments)
        except sqlite3.Error as error:
            if not self._rescue(error):
                raise
            cursor = self._db().execute(sql, arguments)
        self._statements.append((sql, arguments))
        return cursor

    def executemany(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once for each row of arguments."""
        for arguments in rows:
            self.execute(sql, arguments)


def replay(statements: Statements, db: sqlite3.Connection) -> None:
    """Begin a transaction on ``db`` and run ``statements`` in it."""
    # One by one: executemany() refuses the SELECTs among them.
    db.execute("BEGIN IMMEDIATE")
    for sql, arguments in statements:
        db.execute(sql, arguments)
