"""One write transaction, which can be done again on another database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any


class StateTransaction:
    """Statements that are run, and remembered in case the disk refuses them at the end.

    Args:
        db: connection with an open transaction.
        statements: takes them, with the rows of arguments of each; parts of one transaction share
            it.
    """

    def __init__(self, db: sqlite3.Connection, statements: list[tuple[str, list[Any]]]) -> None:
        self._db = db
        self._statements = statements

    def execute(self, sql: str, arguments: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        self._statements.append((sql, [arguments]))
        return self._db.execute(sql, arguments)

    def executemany(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once for each row of arguments."""
        many = list(rows)
        self._statements.append((sql, many))
        self._db.executemany(sql, many)

    def replay(self, db: sqlite3.Connection) -> None:
        """Do the same on ``db``, as one transaction."""
        db.execute("BEGIN IMMEDIATE")
        for sql, rows in self._statements:
            for arguments in rows:
                db.execute(sql, arguments)
        db.execute("COMMIT")
