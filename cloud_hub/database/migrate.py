"""Bringing a database to the schema of this hub.

Invariants:

* An upgrade is one transaction: a process that is killed within it leaves the schema as it was.
* Of two processes that upgrade at once, one waits for the other and then has nothing to do.
* A hub whose database is at its own schema learns so without Alembic, which is loaded where there
  is something to apply: revisions have numbers, and a file's name begins with its own.
* A hub opens a new database or one at its own schema, and changes no other: :func:`upgrade` is a
  command of its own, so that somebody can make a backup before it.
* It also opens one at a newer schema that says that it serves this hub: old and new workers use one
  PostgreSQL side by side while they are replaced (:mod:`cloud_hub.database.schema_support`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, column, event, inspect, select, table, text
from sqlalchemy.engine import make_url

from cloud_hub.database.engine import connect, database_errors, is_sqlite
from cloud_hub.database.schema_support import (
    FIRST,
    check_no_older_hub,
    note_support,
    oldest_served,
)
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)

MIGRATIONS: Final = Path(__file__).parent / "migrations"
ADOPTED_SCHEMA: Final = 4
"""The number in ``schema_version`` of the databases that revision 0001 takes over."""

LOCK_WAIT_SECONDS: Final = 10
"""Longest wait of an upgrade for a table that a hub uses; then nothing is changed."""

TURN_SECONDS: Final = 3_600
"""Longest wait of an upgrade of SQLite for another one; on PostgreSQL it waits for its end."""

LOCK_KEY: Final = 0x6564_6765
"""Names the advisory lock of upgrades in PostgreSQL; any number that others do not use."""

_adopted = table("schema_version", column("version"))
_applied = table("alembic_version", column("version_num"))


@dataclass(frozen=True)
class MigrationStatus:
    """The schema of a database, compared with the one that this hub needs.

    Attributes:
        current: revision of the database; ``None`` for a new one and for one from before
            migrations.
        head: revision that this hub needs.
        pending: revisions to apply, oldest first; empty if there is nothing to do.
    """

    current: str | None
    head: str
    pending: tuple[str, ...]


def check(settings: Settings) -> MigrationStatus:
    """Compare the schema of a hub's database with this hub's; change nothing.

    Raises:
        Conflict: a newer hub made the database, or one from before the first release.
        HubFault: there is no database to be reached.
    """
    _require_data(settings)
    if _is_missing_file(settings):  # connecting would make the file
        return _status(None)
    with database_errors(settings):
        engine = connect(settings)
        try:
            return inspect_schema(engine)
        finally:
            engine.dispose()


def upgrade(settings: Settings) -> MigrationStatus:
    """Apply what is pending, all of it or nothing; return the status afterwards.

    Raises:
        Conflict: a hub serves the data folder, or uses what a revision drops; else as
            :func:`check`.
        HubFault: there is no database to be reached.
    """
    _require_data(settings)
    # Hubs of a server may go on: what they cannot go on with is found below.
    alone = contextlib.nullcontext() if settings.on_server else sole_server(settings.data)
    with alone, database_errors(settings):
        engine = connect(settings)
        try:
            before = inspect_schema(engine)
            after = _upgrade(engine) if before.pending else before
        finally:
            engine.dispose()
    if before.pending:
        log.info("database upgraded from %s to %s", before.current, after.head)
    return after


def open_engine(settings: Settings) -> Engine:
    """Return an engine whose database has this hub's schema; a new database gets it here.

    Raises:
        Conflict: the schema is another one; says what to run.
        HubFault: there is no database, or it is none of this kind.
    """
    with database_errors(settings):
        engine = connect(settings)
        try:
            # Emptiness first: another process may make the tables between the two questions.
            status = _upgrade(engine) if _is_empty(engine) else inspect_schema(engine)
        except BaseException:
            engine.dispose()
            raise
    if status.pending:
        engine.dispose()
        option = f" --database {_shown(settings)}" if settings.database else ""
        raise Conflict(
            f"database: expected schema {status.head}, got {status.current or 'one before 0001'}; "
            f"make a backup, then run edge-hub db upgrade {settings.data}{option}"
        )
    return engine


def inspect_schema(engine: Engine) -> MigrationStatus:
    """Read which revision a database is at; raises Conflict if none leads from it to the head."""
    with engine.connect() as db:
        applied = inspect(db).has_table(_applied.name)
        current = db.execute(select(_applied.c.version_num)).scalar() if applied else None
        if current is None:
            _check_adoptable(db)
        oldest = None if current is None else oldest_served(db, current)
    return _status(current, oldest)


def apply_revisions(db: Connection, to: str = "head") -> None:
    """Apply every pending revision, up to one of them, on an open transaction."""
    from alembic import command

    command.upgrade(alembic_config(db), to)


@contextlib.contextmanager
def new_tables(
    engine: Engine, revision: str, *, instead_of: Callable[[Connection], object] | None = None
) -> Iterator[Connection]:
    """Give an open transaction in which an empty database has got the tables of a revision.

    Args:
        engine: of the database.
        revision: of this hub's, or an earlier one.
        instead_of: drops the tables that are there, in the same transaction; ``None`` if none may
            be.

    Raises:
        Conflict: a newer hub's, or there are tables already.
    """
    if revision not in list_revisions():
        raise Conflict(
            f"database: the tables of revision {revision} are unknown here; a newer edge-hub has "
            "them, install that version"
        )
    if instead_of is None and not _is_empty(engine):
        where = engine.url.render_as_string(hide_password=True)
        raise Conflict(f"database: {where}: expected an empty one, it has tables")
    with engine.connect() as db:
        if is_sqlite(engine):
            _begin_at_statements(db)
        with db.begin():
            if instead_of is not None:
                instead_of(db)
            apply_revisions(db, revision)
            if revision >= FIRST:
                served = _oldest_by_revision().items()
                note_support(db, {r: oldest for r, oldest in served if r <= revision})
            yield db
        if is_sqlite(engine):
            db.invalidate()  # its mode was changed: the pool must not hand it out again


def alembic_config(db: Connection | None = None) -> Config:
    """Return Alembic's configuration for the revisions of this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("recursive_version_locations", "true")  # the first have a folder
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.attributes["connection"] = db
    return config


def list_revisions() -> list[str]:
    """Return every revision of this package, oldest first."""
    files = (MIGRATIONS / "versions").rglob("r[0-9]*_*.py")
    return sorted(file.name[1:].partition("_")[0] for file in files)


def _status(current: str | None, oldest: str | None = None) -> MigrationStatus:
    revisions = list_revisions()
    if current is not None and current not in revisions:
        if oldest in revisions:  # a newer hub's, which still serves this one
            return MigrationStatus(current, revisions[-1], ())
        raise Conflict(
            f"database: its schema {current} is unknown here, the newest is {revisions[-1]}; a "
            "newer edge-hub made it, install that version"
        )
    begin = 0 if current is None else revisions.index(current) + 1
    return MigrationStatus(current, revisions[-1], tuple(revisions[begin:]))


def _oldest_by_revision() -> dict[str, str]:
    """Return the oldest revision whose hub each revision of this package serves."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config())
    return {
        revision.revision: getattr(revision.module, "oldest", revision.revision)
        for revision in script.walk_revisions()
        if revision.revision >= FIRST
    }


def _upgrade(engine: Engine) -> MigrationStatus:
    before = inspect_schema(engine)
    with engine.connect() as db:
        if is_sqlite(engine):
            _begin_at_statements(db)
        with db.begin():
            if not is_sqlite(engine):
                # Released at the end of the transaction, however it ends.
                db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
                # What waits for a table keeps every other user of it waiting too.
                db.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_SECONDS}s'"))
            oldest = _oldest_by_revision()
            pending = before.pending
            check_no_older_hub(db, before.current, {r: oldest[r] for r in pending if r in oldest})
            apply_revisions(db)
            note_support(db, oldest)
        if is_sqlite(engine):
            db.invalidate()  # its mode was changed: the pool must not hand it out again
    return inspect_schema(engine)


def _begin_at_statements(db: Connection) -> None:
    """Let a transaction of SQLite begin where SQLAlchemy says so, tables included.

    Python's driver begins one before the first INSERT only, so that a CREATE TABLE would be on disk
    at once; without a mode it begins none, and ours takes the write lock from the start.
    """
    assert db.connection.dbapi_connection is not None
    db.connection.dbapi_connection.isolation_level = None
    # The usual 10 s are for writers of moments; an upgrade takes as long as there are rows.
    db.exec_driver_sql(f"PRAGMA busy_timeout = {TURN_SECONDS * 1_000}")
    db.rollback()  # SQLAlchemy's own, which has begun nothing in the database
    event.listen(db, "begin", lambda begun: begun.exec_driver_sql("BEGIN IMMEDIATE"))


def _is_empty(engine: Engine) -> bool:
    return not inspect(engine).get_table_names()


def _check_adoptable(db: Connection) -> None:
    """Refuse a database whose schema is older than the first revision; raises Conflict."""
    if not inspect(db).has_table(_adopted.name):
        return
    version = db.execute(select(_adopted.c.version)).scalar()
    if version not in (None, ADOPTED_SCHEMA):  # None: killed before it wrote the number
        raise Conflict(
            f"database: expected schema {ADOPTED_SCHEMA} or newer, got {version}; it is older than "
            "the first release, make a new hub with edge-hub init"
        )


def _require_data(settings: Settings) -> None:
    if not settings.data.is_dir():
        raise NotFound(f"{settings.data}: holds no hub; run edge-hub init {settings.data}")


def _is_missing_file(settings: Settings) -> bool:
    with database_errors(settings):
        url = make_url(settings.database_url)
    file = url.database if url.get_backend_name() == "sqlite" else None
    return bool(file) and file != ":memory:" and not Path(str(file)).exists()


def _shown(settings: Settings) -> str:
    return make_url(settings.database_url).render_as_string(hide_password=True)
