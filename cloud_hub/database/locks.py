"""Locks over all workers of one hub: who holds one is alone with it, however many processes serve.

On PostgreSQL a lock belongs to a session of its own, so it ends with its holder however that ends,
and with the connection: whoever was cut off holds nothing any more, and does not know it yet. What
must not happen twice therefore also has a guard where it is written (a row, a term, an ETag). On
SQLite one process serves, and a lock within it will do.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from cloud_hub.errors import Unavailable

WAIT_SECONDS: Final = 60
"""Nobody holds a lock for so long, unless something is wrong."""

_held: ContextVar[frozenset[tuple[str, str]]] = ContextVar("locks held", default=frozenset())
_process_locks: Final[dict[tuple[str, str], threading.Lock]] = {}


@contextlib.contextmanager
def exclusive(engine: Engine, name: str) -> Iterator[None]:
    """Be the only one, over all workers, who holds the lock of this name within the block.

    Whoever holds it already in this thread enters at once.

    Args:
        engine: of the hub's database; on PostgreSQL the lock has a connection beside its pool.
        name: of the lock.

    Raises:
        Unavailable: the database is away, or somebody held the lock for :data:`WAIT_SECONDS`.
    """
    key = (engine.url.render_as_string(hide_password=False), name)
    if key in _held.get():
        yield
        return
    on_postgres = engine.dialect.name == "postgresql"
    lock = _of_sessions(*key) if on_postgres else _process_locks.setdefault(key, threading.Lock())
    with lock:
        token = _held.set(_held.get() | {key})
        try:
            yield
        finally:
            _held.reset(token)


@contextlib.contextmanager
def _of_sessions(url: str, name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            db = stack.enter_context(_engine(url).connect())
            _take(db, name)
        except DBAPIError as error:
            raise Unavailable(
                f"{name}: the lock of this name was not had within {WAIT_SECONDS} s, or the "
                f"database is away; {str(error.orig).strip():.200}"
            ) from error
        yield
        # Closing the session below gives the lock back, also where the database has gone.


def _take(db: Connection, name: str) -> None:
    db.execute(text(f"SET lock_timeout = '{WAIT_SECONDS}s'"))
    db.execute(text("SELECT pg_advisory_lock(:key)"), {"key": lock_key(name)})
    # The lock belongs to the session, not to a transaction; an open one would hold vacuum back.
    db.commit()


def lock_key(name: str) -> int:
    """Return the number by which PostgreSQL knows the lock of this name, as a signed bigint."""
    digest = hashlib.sha256(f"edge-hub {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@functools.lru_cache(maxsize=8)
def _engine(url: str) -> Engine:
    # Without a pool: a connection that went back to one would keep its locks.
    return create_engine(url, poolclass=NullPool)
