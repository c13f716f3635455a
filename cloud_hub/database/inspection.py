"""A look at a hub's database from outside: its schema, who is connected, who leads."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import inspect, select, text

from cloud_hub.database.engine import connect, database_errors, is_sqlite, process_name
from cloud_hub.database.leader import leadership_table
from cloud_hub.database.migrate import check
from cloud_hub.database.schema_support import oldest_served
from cloud_hub.settings import Settings

_PROCESSES = text(
    "SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name LIKE "
    "'edge-hub %' AND application_name <> :own AND datname = current_database() ORDER BY 1"
)


@dataclass(frozen=True)
class DatabaseStatus:
    """A hub's database.

    Attributes:
        kind: ``sqlite`` or ``postgresql``.
        current: revision of its tables; ``None`` before the first one.
        head: revision that this hub needs.
        pending: revisions to apply, oldest first.
        oldest: revision of the oldest hubs that may use it; ``None`` before the first one.
        leader: name of the process that leads, or did last; empty for none and on SQLite.
        term: of the leader.
        processes: of hubs that are connected; none are known on SQLite.
    """

    kind: str
    current: str | None
    head: str
    pending: tuple[str, ...]
    oldest: str | None
    leader: str = ""
    term: int = 0
    processes: tuple[str, ...] = ()


def inspect_database(settings: Settings) -> DatabaseStatus:
    """Look at a hub's database; change nothing.

    Raises:
        Conflict: a newer hub made the database, and it does not serve this one.
        HubFault: there is no database to be reached.
    """
    schema = check(settings)
    kind = "postgresql" if settings.on_server else "sqlite"
    if schema.current is None:
        return DatabaseStatus(kind, None, schema.head, schema.pending, None)
    with database_errors(settings):
        engine = connect(settings)
        try:
            with engine.connect() as db:
                oldest = oldest_served(db, schema.current)
                led = inspect(db).has_table(leadership_table.name) and not is_sqlite(engine)
                row = db.execute(select(leadership_table)).first() if led else None
                own = {"own": process_name()}
                named = () if is_sqlite(engine) else db.execute(_PROCESSES, own).scalars().all()
        finally:
            engine.dispose()
    leader, term = (row.holder, row.term) if row is not None else ("", 0)
    return DatabaseStatus(
        kind, schema.current, schema.head, schema.pending, oldest, leader, term, tuple(named)
    )
