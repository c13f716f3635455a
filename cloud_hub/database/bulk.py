"""Statements over many rows at once, the same on SQLite and PostgreSQL.

Rows are tuples in the order of the columns that are named with them, and JSON is text: what came as
JSON is not parsed and written again. PostgreSQL gets all rows as one array for each column, SQLite
as one prepared statement that runs for each; either way a statement is made once for a table and
its columns, and a row costs a few microseconds.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import JSON, Connection, Float, Integer, Table

Columns = tuple[str, ...]
Rows = Sequence[tuple[Any, ...]]

_TEXT: Final = "text"


def begin_writing(db: Connection) -> None:
    """Take SQLite's one write lock now, so that what is read from here on stays as it is.

    On PostgreSQL rows are locked, and this does nothing.

    Args:
        db: a transaction in which nothing was read yet.
    """
    if db.dialect.name != "sqlite":
        return
    driver: Any = db.connection.dbapi_connection
    if not driver.in_transaction:  # one that has written has the lock
        db.exec_driver_sql("BEGIN IMMEDIATE")


def rows_by_key(
    db: Connection, table: Table, key: Columns, wanted: Columns, keys: Rows, *, lock: bool = False
) -> list[tuple[Any, ...]]:
    """Return some columns of the rows that have one of the keys.

    Args:
        db: an open transaction.
        table: where they are.
        key: columns of the keys; none of them is ever NULL.
        wanted: columns to return; JSON as text.
        keys: each once.
        lock: for writing, in the order of the keys, where the database locks rows.
    """
    if not keys:
        return []
    if db.dialect.name == "sqlite":
        statement = _select_sqlite(table, key, wanted)
        found: Any = db.exec_driver_sql(statement, (json.dumps(keys),))
    else:
        found = db.exec_driver_sql(_select_postgresql(table, key, wanted, lock), _arrays(keys))
    return [tuple(row) for row in found]


def known_keys(
    db: Connection, table: Table, key: Columns, keys: Rows, *, nullable: Columns = ()
) -> set[tuple[Any, ...]]:
    """Return those of the keys that some row has, however many rows have them.

    Args:
        db: an open transaction.
        table: where the rows are.
        key: columns of the keys; an index has those that are not ``nullable``.
        keys: each once.
        nullable: columns in which NULL is a value like others.
    """
    if not keys:
        return set()
    if db.dialect.name == "sqlite":
        statement = _known_sqlite(table, key, nullable)
        found: Any = db.exec_driver_sql(statement, (json.dumps(keys),))
    else:
        found = db.exec_driver_sql(_known_postgresql(table, key, nullable), _arrays(keys))
    return {keys[place] for (place,) in found}


def insert_rows(db: Connection, table: Table, columns: Columns, rows: Rows) -> None:
    """Insert rows.

    Args:
        db: an open transaction.
        table: to insert into.
        columns: in the order of the rows' values.
        rows: to insert.
    """
    _execute(db, _insert(db.dialect.name, table, columns), rows)


def insert_new(db: Connection, table: Table, columns: Columns, rows: Rows) -> set[tuple[Any, ...]]:
    """Insert rows whose primary keys were not there when it was looked.

    Where another transaction has inserted one since, or is about to, PostgreSQL waits for its end.

    Args:
        db: an open transaction; on SQLite one that :func:`begin_writing` has begun.
        table: to insert into; its primary key comes first in ``columns``.
        columns: in the order of the rows' values.
        rows: of different keys.

    Returns:
        Keys of those that were inserted.
    """
    if not rows:
        return set()
    key = _key(table)
    statement = _insert(db.dialect.name, table, columns) + " ON CONFLICT DO NOTHING"
    if db.dialect.name == "sqlite":
        # Nobody else writes since it was looked, so all of them are new.
        db.exec_driver_sql(statement, list(rows))
        return {row[: len(key)] for row in rows}
    returning = f"{statement} RETURNING {_listed(key)}"
    return {tuple(row) for row in db.exec_driver_sql(returning, _arrays(rows))}


def insert_adding(
    db: Connection,
    table: Table,
    columns: Columns,
    rows: Rows,
    *,
    adds: Columns,
    replaces: Columns = (),
) -> None:
    """Insert rows, or add to those that are there.

    Args:
        db: an open transaction.
        table: with a primary key.
        columns: in the order of the rows' values.
        rows: of different keys, in the order in which everybody takes them.
        adds: columns that are added up where a row's key is there already.
        replaces: columns that take the new value then.
    """
    name = table.name
    sums = [f'"{each}" = "{name}"."{each}" + excluded."{each}"' for each in adds]
    sums += [f'"{each}" = excluded."{each}"' for each in replaces]
    conflict = f" ON CONFLICT ({_listed(_key(table))}) DO UPDATE SET {', '.join(sums)}"
    _execute(db, _insert(db.dialect.name, table, columns) + conflict, rows)


def _execute(db: Connection, statement: str, rows: Rows) -> None:
    if not rows:
        return
    if db.dialect.name == "sqlite":
        db.exec_driver_sql(statement, list(rows))
    else:
        db.exec_driver_sql(statement, _arrays(rows))


def _arrays(rows: Rows) -> tuple[str, ...]:
    return tuple(map(_array, zip(*rows, strict=True)))


def _array(values: Sequence[Any]) -> str:
    """Return an array as PostgreSQL reads one; its driver takes ten times as long for long texts.

    Args:
        values: texts, or numbers; ``None`` for NULL.
    """
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: str | float | None) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return "NULL" if value is None else repr(value)


def _key(table: Table) -> Columns:
    return tuple(column.name for column in table.primary_key)


def _listed(columns: Columns, prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{name}"' for name in columns)


@functools.cache
def _insert(dialect: str, table: Table, columns: Columns) -> str:
    into = f'INSERT INTO "{table.name}" ({_listed(columns)})'
    if dialect == "sqlite":
        return f"{into} VALUES ({', '.join('?' * len(columns))})"
    arrays = ", ".join(f"%s::{_type(table, name)}[]" for name in columns)
    values = ", ".join(f'k."{name}"{_cast(table, name)}' for name in columns)
    return f"{into} SELECT {values} FROM unnest({arrays}) AS k ({_listed(columns)})"


@functools.cache
def _select_sqlite(table: Table, key: Columns, wanted: Columns) -> str:
    same = " AND ".join(
        f"t.\"{name}\" = json_extract(k.value, '$[{i}]')" for i, name in enumerate(key)
    )
    # A cross join keeps its order: each key is looked up, and not each row of the table.
    return (
        f"SELECT {_listed(wanted, 't.')} FROM json_each(?) AS k "
        f'CROSS JOIN "{table.name}" AS t ON {same}'
    )


@functools.cache
def _select_postgresql(table: Table, key: Columns, wanted: Columns, lock: bool) -> str:
    arrays = ", ".join(f"%s::{_type(table, name)}[]" for name in key)
    same = " AND ".join(f't."{name}" = k."{name}"' for name in key)
    columns = ", ".join(
        f't."{name}"::text' if isinstance(table.c[name].type, JSON) else f't."{name}"'
        for name in wanted
    )
    order = f" ORDER BY {_listed(key, 't.')} FOR UPDATE OF t" if lock else ""
    return (
        f"SELECT {columns} FROM unnest({arrays}) AS k ({_listed(key)}) "
        f'JOIN "{table.name}" AS t ON {same}{order}'
    )


@functools.cache
def _known_sqlite(table: Table, key: Columns, nullable: Columns) -> str:
    same = " AND ".join(
        f"t.\"{name}\" {'IS' if name in nullable else '='} json_extract(k.value, '$[{i}]')"
        for i, name in enumerate(key)
    )
    there = f'SELECT 1 FROM "{table.name}" AS t WHERE {same}'
    return f"SELECT k.key FROM json_each(?) AS k WHERE EXISTS ({there})"


@functools.cache
def _known_postgresql(table: Table, key: Columns, nullable: Columns) -> str:
    arrays = ", ".join(f"%s::{_type(table, name)}[]" for name in key)
    same = " AND ".join(
        f't."{name}" {"IS NOT DISTINCT FROM" if name in nullable else "="} k."{name}"'
        for name in key
    )
    there = f'SELECT 1 FROM "{table.name}" AS t WHERE {same}'
    return (
        f"SELECT k.place - 1 FROM unnest({arrays}) WITH ORDINALITY AS k ({_listed(key)}, place) "
        f"WHERE EXISTS ({there})"
    )


def _type(table: Table, name: str) -> str:
    """Return the type in PostgreSQL of the values of a column on their way."""
    kind = table.c[name].type
    if isinstance(kind, Float):
        return "float8"
    return "bigint" if isinstance(kind, Integer) else _TEXT


def _cast(table: Table, name: str) -> str:
    return "::json" if isinstance(table.c[name].type, JSON) else ""
