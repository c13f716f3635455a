"""Which older hubs may use a database whose schema is newer than theirs.

Workers are replaced one by one, so for one release old and new ones use the same tables: a revision
only adds, and what nothing uses any more goes one release later (CONTRIBUTING.md). Each revision
says ``oldest``, the revision whose hub it still serves; the database keeps that, since an older hub
cannot know of revisions that came after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Column, Connection, String, Table, inspect, select, text

from cloud_hub.database.engine import insert_if_new, metadata, process_name
from cloud_hub.errors import Conflict

FIRST: Final = "0019"
"""The first revision that says which older hubs it serves."""

schema_support = Table(
    "schema_support",
    metadata,
    Column("revision", String, primary_key=True),
    Column("oldest", String, nullable=False),
)

_SESSIONS = text(
    "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE application_name LIKE "
    "'edge-hub %' AND application_name <> :own AND datname = current_database()"
)


def oldest_served(db: Connection, revision: str) -> str:
    """Return the oldest revision whose hub may use a database that is at ``revision``."""
    if not inspect(db).has_table(schema_support.name):
        return revision
    query = select(schema_support.c.oldest).where(schema_support.c.revision == revision)
    return str(db.execute(query).scalar() or revision)


def note_support(db: Connection, oldest: Mapping[str, str]) -> None:
    """Keep which older hubs each revision serves.

    Args:
        db: transaction that applied them.
        oldest: by revision, from :data:`FIRST` on.
    """
    for revision, served in oldest.items():
        insert_if_new(db, schema_support, {"revision": revision, "oldest": served})


def check_no_older_hub(db: Connection, current: str | None, oldest: Mapping[str, str]) -> None:
    """Refuse an upgrade that takes from hubs that run what they use.

    Args:
        db: a connection.
        current: revision of the database.
        oldest: by pending revision, see :func:`note_support`.

    Raises:
        Conflict: says what to do.
    """
    if db.dialect.name != "postgresql" or current is None:
        return
    cut = [revision for revision, served in oldest.items() if served > current]
    running = db.execute(_SESSIONS, {"own": process_name()}).scalar() if cut else 0
    if running:
        raise Conflict(
            f"database: revision {cut[0]} drops what hubs at {current} use, and {running} of their "
            "processes are connected; end them first"
        )
