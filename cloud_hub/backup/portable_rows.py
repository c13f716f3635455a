"""Tables as lines of JSON: the same bytes for the same rows, be they in SQLite or in PostgreSQL.

The first line has the names of the columns, each other one the values of a row. Invariants:

* Rows are in the order of their primary key, by code points; JSON is the text that is stored. So
  one digest says that two databases have the same rows.
* Rows are read and written as a stream; neither side holds a table in memory.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    cast,
    collate,
    func,
    select,
    text,
    type_coerce,
)

from cloud_hub.backup.manifest import SavedTable
from cloud_hub.errors import HubFault, Invalid

NOT_SAVED: Final = frozenset({"alembic_version", "schema_support", "leadership"})
"""Tables of the place and not of the hub: a new place gets its own."""

AT_ONCE: Final = 1_000
"""Rows that are read or written together."""

SUFFIX: Final = ".jsonl.gz"


def tables_of(db: Connection) -> list[Table]:
    """Return the tables of a hub that a backup holds, in an order in which they can be filled."""
    return [table for table in _whole_tables(db).sorted_tables if table.name not in NOT_SAVED]


def drop_tables(db: Connection) -> None:
    """Drop every table, those that no backup holds too."""
    _whole_tables(db).drop_all(db)


def _whole_tables(db: Connection) -> MetaData:
    """Return the tables of a database, but not the parts that PostgreSQL divides some into."""
    parts: set[str] = set()
    if db.dialect.name == "postgresql":
        parts.update(
            db.execute(text("SELECT relname FROM pg_class WHERE relispartition")).scalars()
        )
    found = MetaData()
    found.reflect(db, only=lambda name, _: name not in parts)
    return found


def dump_table(db: Connection, table: Table, path: Path) -> SavedTable:
    """Write a table to a new file.

    Args:
        db: a connection that sees one moment.
        table: to write.
        path: of the file.
    """
    with gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as file:
        return _counted(_lines(db, table), file.write)


def digest_table(db: Connection, table: Table) -> SavedTable:
    """Return the number of rows of a table and their digest; see :func:`dump_table`."""
    return _counted(_lines(db, table), lambda _: None)


def load_table(db: Connection, table: Table, path: Path) -> None:
    """Insert the rows of a file into an empty table.

    Args:
        db: an open transaction.
        table: empty.
        path: of the file.

    Raises:
        Invalid: the file names a column that the table lacks.
    """
    with gzip.open(path, "rb") as file:
        columns = json.loads(file.readline())
        unknown = [name for name in columns if name not in table.c]
        if unknown:
            raise Invalid(f"{path}: {table.name} has no column {', '.join(unknown)} here")
        rows = (json.loads(line) for line in file)
        if db.dialect.name == "sqlite":
            _insert(db, table, columns, rows)
        else:
            _copy(db, table, columns, rows)
    go_on_counting(db, table)


def _counted(lines: Iterator[bytes], write: Callable[[bytes], object]) -> SavedTable:
    digest, rows = hashlib.sha256(), -1  # the first line names the columns
    for line in lines:
        digest.update(line)
        write(line)
        rows += 1
    return SavedTable(rows, digest.hexdigest())


def _lines(db: Connection, table: Table) -> Iterator[bytes]:
    # By name: a column that a migration added may stand elsewhere in another database.
    columns = sorted(table.c, key=lambda column: column.name)
    is_json = [isinstance(column.type, JSON) for column in columns]
    for column in columns:
        if isinstance(column.type, LargeBinary):
            raise HubFault(f"{table.name}.{column.name}: a backup cannot hold a column of bytes")
    yield _line([column.name for column in columns])
    query = select(*(_readable(db, column) for column in columns))
    query = query.order_by(*(_by_code_points(db, column) for column in _key(table)))
    options = {"stream_results": True, "yield_per": AT_ONCE}
    with contextlib.closing(db.execute(query, execution_options=options)) as found:
        for row in found:
            yield _line([_text(v) if j else v for v, j in zip(row, is_json, strict=True)])


def _line(values: Sequence[Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _text(value: Any) -> str | None:
    """Return stored JSON as text: of numbers SQLite makes numbers, as its columns of JSON do."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _readable(db: Connection, column: Any) -> Any:
    if not isinstance(column.type, JSON):
        return column
    if db.dialect.name == "sqlite":
        return type_coerce(column, String)
    return cast(column, Text)


def _key(table: Table) -> Sequence[Any]:
    # A table that is divided has no key over all its parts, but numbers of one sequence.
    if "id" in table.c:
        return [table.c["id"], *(c for c in table.primary_key if c.name != "id")]
    return list(table.primary_key) or list(table.c)


def _by_code_points(db: Connection, column: Any) -> Any:
    if db.dialect.name == "sqlite" or not isinstance(column.type, String):
        return column
    return collate(column, "C")


def _insert(
    db: Connection, table: Table, columns: Sequence[str], rows: Iterator[list[Any]]
) -> None:
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
    statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'
    while chunk := [tuple(row) for row in itertools.islice(rows, AT_ONCE)]:
        db.exec_driver_sql(statement, chunk)


def _copy(db: Connection, table: Table, columns: Sequence[str], rows: Iterator[list[Any]]) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    booleans = [i for i, name in enumerate(columns) if isinstance(table.c[name].type, Boolean)]
    cursor: Any = db.connection.cursor()  # psycopg's own, which SQLAlchemy does not type
    with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as target:
        for row in rows:
            for i in booleans:
                row[i] = None if row[i] is None else bool(row[i])
            target.write_row(row)


def go_on_counting(db: Connection, table: Table) -> None:
    """Let PostgreSQL number new rows after those that came with their numbers."""
    if db.dialect.name == "sqlite":
        return
    for column in _key(table):
        name = {"table": f'"{table.name}"', "column": column.name}
        found = text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = db.execute(found, name).scalar()
        newest = db.execute(select(func.max(column))).scalar() if sequence else None
        if newest is not None:
            db.execute(text("SELECT setval(:name, :to)"), {"name": sequence, "to": newest})
