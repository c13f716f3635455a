"""Rows of a set from a SQL query: one read-only transaction, so a table that changes meanwhile
gives what it held when the query began.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.features.declaration import FeatureSource

BATCH: Final = 50_000
"""Rows that are fetched at once."""

CANCEL_SECONDS: Final = 0.1
CONNECT_SECONDS: Final = 30
"""For a database that does not answer at all."""

_CANCEL: Final = ("interrupt", "cancel")
"""What a driver calls the end of a query from another thread: SQLite's, psycopg's."""


def query_rows(source: FeatureSource, as_of: float, hidden: Path) -> pa.Table:
    """Return the answer to a query.

    Args:
        source: with the query; ``:as_of`` in it is the moment.
        as_of: Unix seconds.
        hidden: the hub's own folder, of which no query reads.

    Raises:
        Invalid: the query, its database or its columns are of no use.
        HubFault: the database cannot be reached.
    """
    assert source.sql is not None
    engine, late = _engine(source, hidden), threading.Event()
    try:
        with engine.connect() as db, _at_most(source.timeout_seconds, db, late):
            db = db.execution_options(stream_results=True, postgresql_readonly=True)
            query = text(source.sql)
            given = {"as_of": as_of} if "as_of" in query.compile().params else {}
            answer = db.execute(query, given)
            names = list(answer.keys())
            if len(set(names)) != len(names):
                raise Invalid(f"sql: expected different columns, got {names}")
            return _table(names, iter(lambda: answer.fetchmany(BATCH), []), source.memory_mb)
    except SQLAlchemyError as error:
        if late.is_set():
            raise Invalid(
                f"sql: took longer than {source.timeout_seconds:g} s; ask for less, or declare "
                "another timeout"
            ) from error
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise Invalid(f"sql: the database refuses the query; {reason[:300]}") from error
    finally:
        engine.dispose()


@contextmanager
def _at_most(seconds: float, db: Connection, late: threading.Event) -> Iterator[None]:
    """End the query that runs in the block after a time, and set ``late``."""
    driver, done = db.connection.driver_connection, threading.Event()
    cancel = next((getattr(driver, name) for name in _CANCEL if hasattr(driver, name)), None)

    def watch() -> None:
        if done.wait(seconds):
            return
        late.set()
        # Again and again: between two batches there is nothing to be ended.
        while cancel is not None and not done.wait(CANCEL_SECONDS):
            with suppress(Exception):  # each driver has its own; the query's end is what counts
                cancel()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def _table(names: list[str], batches: Iterable[Sequence[Any]], memory_mb: int) -> pa.Table:
    tables: list[pa.Table] = []
    size = 0
    try:
        for rows in batches:
            columns = zip(names, zip(*rows, strict=True), strict=True)
            tables.append(pa.table({name: pa.array(list(values)) for name, values in columns}))
            size += tables[-1].nbytes
            if size > memory_mb << 20:
                raise Invalid(f"sql: the rows take more than the {memory_mb} MB that are declared")
        # A batch in which a column is missing everywhere has no type of its own.
        if not tables:
            return pa.table({name: pa.array([], pa.null()) for name in names})
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise Invalid(f"sql: expected columns of one type each; {error}") from error


def _engine(source: FeatureSource, hidden: Path) -> Engine:
    given = source.database or os.environ.get(source.database_env or "")
    if not given:
        raise HubFault(f"sql: the hub's environment has no {source.database_env}")
    try:
        url = make_url(given)
        if url.get_backend_name() == "sqlite":
            return _sqlite(url.database, hidden)
        postgresql = url.get_backend_name() == "postgresql"
        patience = {"connect_timeout": CONNECT_SECONDS} if postgresql else {}
        return create_engine(url, connect_args=patience)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        expected = "a URL such as postgresql+psycopg://host/name or sqlite:////path/file.db"
        raise Invalid(f"database: expected {expected}; {type(error).__name__}") from error


def _sqlite(database: str | None, hidden: Path) -> Engine:
    path = Path(database or "").resolve()
    if not database or not path.is_file():
        raise Invalid(f"database: expected an SQLite file, {database or 'none'} is none")
    if hidden.resolve() in path.parents:
        raise Invalid(f"database: {path} is in the hub's data, which no query reads")
    # Through a URI, since only that opens a file for reading alone.
    uri = URL.create(
        "sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
    )
    return create_engine(uri)
