"""The database: one code path for SQLite and PostgreSQL. Features define their tables on
``metadata`` in their own ``tables.py``.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Engine, Integer, MetaData, Table, create_engine, event, insert, select
from sqlalchemy.exc import IntegrityError

from cloud_hub.errors import Conflict
from cloud_hub.settings import Settings

SCHEMA_VERSION: Final = 3
metadata: Final = MetaData()
_schema = Table("schema_version", metadata, SqlColumn("version", Integer, primary_key=True))


def open_engine(settings: Settings) -> Engine:
    """An engine whose tables exist.

    Raises:
        Conflict: another version of the hub made the database.
    """
    engine = create_engine(settings.database_url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    metadata.create_all(engine)
    _check_schema(engine)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA busy_timeout = 10000")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _check_schema(engine: Engine) -> None:
    with engine.begin() as db:
        found = db.execute(select(_schema.c.version)).scalar()
    if found is None:
        try:
            with engine.begin() as db:
                db.execute(insert(_schema).values(version=SCHEMA_VERSION))
        except IntegrityError:
            return  # another process was first
    elif found != SCHEMA_VERSION:
        raise Conflict(f"database: expected schema {SCHEMA_VERSION}, found {found}; see CHANGELOG")
