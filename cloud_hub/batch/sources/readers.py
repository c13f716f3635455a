"""Streams of rows of databases and CSV files: each is read once, at one moment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from cloud_hub.batch.sources.parts import FileStamp, check_names, check_unchanged, stamp_of
from cloud_hub.batch.sources.wanted import Wanted, batch_of
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid

if TYPE_CHECKING:
    from cloud_hub.policy.schema.batch import BatchSource

ROWS: Final = 20_000


def csv_batches(paths: Sequence[Path], wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Yield the rows of CSV files with a header each.

    Raises:
        Invalid: one is none, lacks a column, or changes before all are read.
    """
    stamps = {path: _stamp(path) for path in paths}
    for path in paths:
        yield from _csv_rows(path, wanted)
    for path, stamp in stamps.items():
        check_unchanged(path, stamp)


def _stamp(path: Path) -> FileStamp:
    try:
        return stamp_of(path)
    except OSError as error:
        raise Invalid(f"source: {path}: cannot be read; {error.strerror}") from error


def _csv_rows(path: Path, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    texts = {name: pa.string() for name in wanted.written}
    numbers = {name: pa.float64() for name in wanted.columns if name not in wanted.written}
    read = csv.ReadOptions(block_size=4 << 20, use_threads=False)
    # By the columns' own types: guessed from the first rows, 007 would be 7.
    convert = csv.ConvertOptions(column_types={**texts, **numbers})
    try:
        with csv.open_csv(path, read, convert_options=convert) as reader:
            check_names(reader.schema.names, wanted.columns)
            yield from reader
    except (OSError, pa.ArrowException) as error:
        raise Invalid(f"source: {path}: expected CSV with a header; {error}") from error


def url_of(source: BatchSource) -> str:
    """Return the URL of a source's database; raises Invalid."""
    if source.url is not None:
        return source.url
    url = os.environ.get(source.url_env or "")
    if not url:
        raise Invalid(f"source: the hub's environment has no {source.url_env}; start it with one")
    return url


def sql_batches(
    url: str, source: BatchSource, as_of: float, wanted: Wanted
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query or table as they are at one moment, whoever writes meanwhile.

    Args:
        url: SQLAlchemy URL of the database.
        source: with a query or a table.
        as_of: Unix seconds, for queries that ask.
        wanted: columns.

    Raises:
        Invalid: the database or the query is of no use, or gives other columns.
    """
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise Invalid(f"source: expected a database's URL with a driver here; {error}") from error
    if engine.dialect.name == "sqlite" and not _exists(engine.url.database):
        raise Invalid(f"source: {engine.url.database}: there is no such database")
    try:
        with engine.connect() as db:
            _hold_one_moment(db)
            query = source.query or f"SELECT * FROM {_table(db, source.table or '')}"
            given = {"as_of": as_of} if source.as_of else {}
            # Closed before its connection, whatever is wrong with the rows.
            with closing(db.execution_options(yield_per=ROWS).execute(text(query), given)) as found:
                if not found.returns_rows:
                    raise Invalid(
                        "source: expected a query that returns rows, got another statement"
                    )
                names = list(found.keys())
                check_names(names, wanted.columns)
                for part in found.partitions(ROWS):
                    yield batch_of(names, part, wanted)
    except SQLAlchemyError as error:
        where = make_url(url).render_as_string(hide_password=True)
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise Invalid(f"source: {where}: {reason}") from error
    finally:
        engine.dispose()


def _hold_one_moment(db: Connection) -> None:
    """Let all reads of the connection see one state, and let it write nothing."""
    if db.dialect.name == "postgresql":
        db.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    elif db.dialect.name == "sqlite":
        db.exec_driver_sql("PRAGMA query_only = ON")


def _table(db: Connection, name: str) -> str:
    """Return a table's name, quoted; ``SCHEMA.TABLE`` is two names."""
    quote = db.dialect.identifier_preparer.quote_identifier
    return ".".join(quote(part) for part in name.split("."))


def _exists(database: str | None) -> bool:
    # SQLite would make an empty file of a name that is mistyped.
    return database is not None and (database.startswith("file:") or Path(database).exists())
