"""Errors that say that the database is away, and not that a statement is wrong.

A device or an administrator that is answered 503 with ``Retry-After`` sends again, and whatever a
transaction had written is gone with it: nothing that was acknowledged is lost, and what is sent
again takes effect once.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import exc

from cloud_hub.errors import Unavailable

RETRY_SECONDS: Final = 2.0
"""When a request is to be sent again: PostgreSQL restarts within seconds."""

_CLASSES: Final = ("08", "53", "57P", "25006")
"""Beginnings of PostgreSQL's SQLSTATEs: connections, resources, shutting down, read-only."""

_TRANSIENT: Final = ("40001", "40P01", "55P03")
"""Two transactions in each other's way: the same request succeeds a moment later."""

_SQLITE: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN")


def unavailable(error: exc.SQLAlchemyError) -> Unavailable | None:
    """Return what to answer while the database is away; ``None`` if it is not, so a fault of ours.

    Args:
        error: raised by a statement, or for want of a connection.
    """
    if isinstance(error, exc.TimeoutError):  # of the pool
        return Unavailable("the database is busy: no connection became free", RETRY_SECONDS)
    if not isinstance(error, exc.DBAPIError):
        return None
    if error.connection_invalidated or _cannot_connect(error):
        return Unavailable("the database does not answer; send this again", RETRY_SECONDS)
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state.startswith(_CLASSES):
        return Unavailable("the database takes nothing now; send this again", RETRY_SECONDS)
    if state in _TRANSIENT:
        return Unavailable("another request was in the way; send this again", 1.0)
    if str(getattr(error.orig, "sqlite_errorname", "")).startswith(_SQLITE):
        return Unavailable(f"the database takes nothing now: {error.orig}", RETRY_SECONDS)
    return None


def _cannot_connect(error: exc.DBAPIError) -> bool:
    """Return whether there was no connection, so that the server told no SQLSTATE."""
    name = type(error.orig).__name__
    state = getattr(error.orig, "sqlstate", "")
    return name in ("OperationalError", "ConnectionTimeout") and state is None
