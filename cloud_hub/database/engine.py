"""The database: one code path for SQLite and PostgreSQL. Features define their tables on
``metadata`` in their own ``tables.py``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from cloud_hub.errors import HubFault
from cloud_hub.settings import Settings
from cloud_hub.storage.private_files import private_file

metadata: Final = MetaData()

Whole: Final = BigInteger().with_variant(Integer, "sqlite")
"""Type of counts, of times in Unix seconds, and of row numbers of tables that grow without end.

64 bits on both: PostgreSQL's ``INTEGER`` has 32, which a fleet's predictions exceed in an hour and
the clock in 2038; SQLite's has 64, and numbers rows by itself under that name only.
"""


CONNECT_SECONDS: Final = 5
"""Longest wait for a connection to PostgreSQL, in whole seconds."""

POOL_SECONDS: Final = 5.0
"""Longest wait for a connection of the pool; then the request is answered 503."""

RECYCLE_SECONDS: Final = 1_800
"""Age at which a connection is closed, before firewalls forget it."""


def connect(settings: Settings) -> Engine:
    """Return an engine whatever the schema; callers wrap it in :func:`database_errors`."""
    url = make_url(settings.database_url)
    server = url.get_backend_name() == "postgresql"
    engine = create_engine(url, **_server_options(settings) if server else {})
    if is_sqlite(engine):
        if (file := engine.url.database) and file != ":memory:":
            with contextlib.suppress(OSError):  # SQLite says better what is wrong with a place
                private_file(Path(file))
        event.listen(engine, "connect", _prepare_sqlite)
    elif engine.driver == "psycopg":
        event.listen(engine, "connect", _prepare_postgresql)
    return engine


def process_name() -> str:
    """Return a name of this process, which no other one has, now or later."""
    return _name_of(os.getpid())  # a forked worker is another process


@functools.lru_cache(1)
def _name_of(pid: int) -> str:
    return f"edge-hub {socket.gethostname()[:24]} {pid} {secrets.token_hex(4)}"


def _server_options(settings: Settings) -> dict[str, Any]:
    """Return what ``create_engine`` is told of a PostgreSQL.

    Connections are not asked before each use whether they live, which would cost every request a
    round trip: the first that finds its own dead lets the pool open all of them anew.
    """
    words = {
        # By this name a worker's sessions are found, and ended where it hangs as the leader.
        "application_name": process_name(),
        "connect_timeout": CONNECT_SECONDS,
        # A machine that vanished says nothing: without these a read from it waits for hours.
        "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }  # fmt: skip
    size = settings.connections
    return {
        "connect_args": words, "pool_size": size, "max_overflow": size,
        "pool_timeout": POOL_SECONDS, "pool_recycle": RECYCLE_SECONDS,
    }  # fmt: skip


def is_sqlite(engine: Engine) -> bool:
    """Return whether the database is the embedded one."""
    return engine.dialect.name == "sqlite"


@contextlib.contextmanager
def database_errors(settings: Settings) -> Iterator[None]:
    """Turn what SQLAlchemy raises within the block into one sentence without a password.

    Raises:
        HubFault: the URL, its driver or the database is of no use.
    """
    try:
        yield
    except ArgumentError as error:
        raise HubFault("database: expected a URL such as postgresql+psycopg://host/name") from error
    except ImportError as error:
        extra = 'pip install "edge-deployment-sdk[postgres]" for postgresql+psycopg://'
        raise HubFault(f"database: its driver is not installed ({error}); {extra}") from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        where = make_url(settings.database_url).render_as_string(hide_password=True)
        raise HubFault(f"database: {where}: {reason}") from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    # Readers go on while one writes.
    cursor.execute("PRAGMA journal_mode = WAL")
    # What a device was told is stored must survive a power cut; NORMAL would lose the newest.
    cursor.execute("PRAGMA synchronous = FULL")
    # Milliseconds to wait for another writer before "database is locked".
    cursor.execute("PRAGMA busy_timeout = 10000")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _prepare_postgresql(connection: Any, _: Any) -> None:
    """Read NUMERIC as whole or floating-point numbers: it is the type of sums of ``BIGINT``.

    No column has it, and a Decimal does not add up with a float.
    """
    from psycopg.adapt import Loader

    class Number(Loader):
        def load(self, data: Any) -> int | float:
            text = bytes(data).decode()
            return int(text) if text.lstrip("-").isdecimal() else float(text)

    connection.adapters.register_loader("numeric", Number)


def insert_if_new(db: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless one with its key is there.

    While another transaction is inserting the same key, PostgreSQL waits for its end.

    Args:
        db: an open transaction.
        table: with a primary key.
        values: of the row, by column.

    Returns:
        True if the row was new.
    """
    statement = _insert(db, table).values(**values).on_conflict_do_nothing()
    # Without the option PostgreSQL's driver is not asked how many rows there were.
    return bool(db.execute(statement, execution_options={"preserve_rowcount": True}).rowcount)


def insert_or_add(
    db: Connection, table: Table, rows: Sequence[Mapping[str, Any]], counts: Sequence[str]
) -> None:
    """Insert rows, or add to those that are there.

    Args:
        db: an open transaction.
        table: with a primary key.
        rows: values by column.
        counts: columns that are added up where a row's key is there already.
    """
    if not rows:
        return
    row = _insert(db, table)
    sums = {name: table.c[name] + row.excluded[name] for name in counts}
    key = [column.name for column in table.primary_key]
    db.execute(row.on_conflict_do_update(index_elements=key, set_=sums), rows)


def _insert(db: Connection, table: Table) -> Any:
    """Return an insert with ``on_conflict``, which each database has in its own dialect."""
    # Not above: of PostgreSQL's dialect all drivers come along.
    if db.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


@dataclass
class _Open:
    """The transaction of this thread, what it ends with, and the work to do when it is on disk."""

    engine: Engine
    db: Connection
    at_the_end: list[Callable[[Connection], object]] = field(default_factory=list)
    afterwards: list[Callable[[], object]] = field(default_factory=list)


_open: ContextVar[_Open | None] = ContextVar("open transaction", default=None)

Fence = Callable[[Connection], object]
"""Called in each transaction as it begins; raises to have nothing of it happen."""

_fence: ContextVar[tuple[Engine, Fence] | None] = ContextVar("fence", default=None)


@contextlib.contextmanager
def fenced(engine: Engine, check: Fence) -> Iterator[None]:
    """Let each transaction that begins within the block be checked first.

    A thread that is started within it is fenced where it runs in a copy of the context.
    """
    token = _fence.set((engine, check))
    try:
        yield
    finally:
        _fence.reset(token)


@contextlib.contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction, or join the one that this thread has open.

    So a service may call others whose writes belong together with its own: a hub that is killed at
    any moment has done all of them or none.
    """
    outer = _within(engine)
    if outer is not None:
        yield outer.db
        return
    with engine.begin() as db:
        fence = _fence.get()
        if fence is not None and fence[0] is engine:
            fence[1](db)
        opened = _Open(engine, db)
        token = _open.set(opened)
        try:
            yield db
            for write in opened.at_the_end:
                write(db)
        finally:
            _open.reset(token)
    # Only now: an error above has rolled everything back, and nothing may follow from it.
    for work in opened.afterwards:
        work()


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees what the open transaction has written, if there is one."""
    outer = _within(engine)
    if outer is not None:
        yield outer.db
        return
    with engine.connect() as db:
        yield db


def at_the_end(engine: Engine, write: Callable[[Connection], object]) -> None:
    """Have ``write`` called as the last of the open transaction, or in one of its own.

    For what takes a lock that many transactions want: it is held for the commit alone, and nobody
    who holds it waits for another one.
    """
    with transaction(engine):
        outer = _within(engine)
        assert outer is not None
        outer.at_the_end.append(write)


def afterwards(engine: Engine, work: Callable[[], object]) -> None:
    """Do ``work`` when the open transaction is on disk; now, where none is open."""
    outer = _within(engine)
    if outer is None:
        work()
    else:
        outer.afterwards.append(work)


def _within(engine: Engine) -> _Open | None:
    outer = _open.get()
    return outer if outer is not None and outer.engine is engine else None
