"""Rows of a set from a SQL query: one read-only transaction, so a table that changes meanwhile
gives what it held when the query began.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.features.declaration import FeatureSource

BATCH: Final = 50_000
"""Rows that are fetched at once."""


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
    engine = _engine(source, hidden)
    try:
        with engine.connect() as db:
            db = db.execution_options(stream_results=True, postgresql_readonly=True)
            query = text(source.sql)
            given = {"as_of": as_of} if "as_of" in query.compile().params else {}
            answer = db.execute(query, given)
            names = list(answer.keys())
            if len(set(names)) != len(names):
                raise Invalid(f"sql: expected different columns, got {names}")
            return _table(names, iter(lambda: answer.fetchmany(BATCH), []))
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise Invalid(f"sql: the database refuses the query; {reason[:300]}") from error
    finally:
        engine.dispose()


def _table(names: list[str], batches: Any) -> pa.Table:
    try:
        tables = [
            pa.table(
                {n: pa.array(list(v)) for n, v in zip(names, zip(*rows, strict=True), strict=True)}
            )
            for rows in batches
        ]
        # A batch in which a column is missing everywhere has no type of its own.
        if not tables:
            return pa.table({name: pa.array([], pa.null()) for name in names})
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise Invalid(f"sql: expected columns of one type each; {error}") from error


def _engine(source: FeatureSource, hidden: Path) -> Engine:
    given = source.database or os.environ.get(source.database_env or "")
    if not given:
        raise HubFault(f"sql: the hub's environment has no {source.database_env}")
    try:
        url = make_url(given)
        if url.get_backend_name() == "sqlite":
            return _sqlite(url.database, hidden)
        return create_engine(url)
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
    return create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
