"""The tables of a backup in an empty database: all of them, or none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    func,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.backup.counters import events_ahead, next_plan, serials_ahead
from cloud_hub.backup.manifest import BackupManifest
from cloud_hub.backup.portable_rows import (
    SUFFIX,
    digest_table,
    drop_tables,
    go_on_counting,
    load_table,
    tables_of,
)
from cloud_hub.database.engine import connect, database_errors, is_sqlite
from cloud_hub.database.event_kinds import classified
from cloud_hub.database.migrate import new_tables
from cloud_hub.errors import Conflict, HubFault, Invalid
from cloud_hub.settings import Settings
from edge_sdk.contract.names import check_digest
from edge_sdk.contract.plan import Plan

log = logging.getLogger(__name__)

OPEN: Final = ("running", "paused", "waiting")
"""Experiments that take part in plans."""

ACTOR: Final = "hub"


def fill_database(
    settings: Settings,
    folder: Path,
    manifest: BackupManifest,
    *,
    mark: str,
    again: bool,
    edit: Callable[[Connection, Mapping[str, Table]], object],
) -> int:
    """Make the tables of a backup, compare every one with it, and return the number of rows.

    Args:
        settings: say where the database is.
        folder: of the backup, whose files were checked.
        manifest: of the backup.
        mark: name of the backup, by which another attempt knows what this one left.
        again: there was an attempt that was killed.
        edit: changes something within the same transaction, after everything was compared.

    Raises:
        Conflict: the database is not empty, or its tables would be of a newer hub.
        Invalid: the backup has other tables, or a table is not what it was; nothing is kept.
        HubFault: the database does not take them; nothing is kept.
    """
    with database_errors(settings):
        engine = connect(settings)
        try:
            ours = drop_tables if again and _mark_of(engine) == mark else None
            with new_tables(engine, manifest.revision, instead_of=ours) as db:
                tables = {table.name: table for table in tables_of(db)}
                _check_names(tables, manifest)
                for name, table in tables.items():
                    _fill(db, table, folder / "tables" / f"{name}{SUFFIX}")
                    if digest_table(db, table) != manifest.tables[name]:
                        raise Invalid(f"table {name}: has other rows than the backup")
                edit(db, tables)
                _leave_mark(db, mark)
        finally:
            engine.dispose()
    return sum(saved.rows for saved in manifest.tables.values())


def check_no_tables(settings: Settings) -> None:
    """Raise Conflict unless a database has no tables yet, HubFault if it cannot be reached."""
    with database_errors(settings):
        url = make_url(settings.database_url)
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
            return
        engine = connect(settings)
        try:
            there = inspect(engine).get_table_names()
        finally:
            engine.dispose()
    if there:
        where = url.render_as_string(hide_password=True)
        raise Conflict(
            f"database: {where}: expected an empty one, it has {len(there)} tables; nothing is "
            "ever overwritten, name another"
        )


def count_on(
    db: Connection, tables: Mapping[str, Table], made_at: float, now: float, missing: Sequence[str]
) -> list[Plan]:
    """Let a restored hub go on beyond what devices have seen; return the plans to publish.

    Args:
        db: an open transaction.
        tables: by name.
        made_at: moment of the backup, Unix seconds.
        now: Unix seconds.
        missing: artifacts that the backup lacks; for the audit.
    """
    ahead, made = serials_ahead(made_at, now), []
    reason = f"restored from a backup, {ahead} serials ahead of it"
    plans = tables["plans"]
    newest = select(plans.c.model, func.max(plans.c.serial)).group_by(plans.c.model)
    for model, serial in db.execute(newest).all():
        query = select(plans.c.plan).where(plans.c.model == model, plans.c.serial == serial)
        plan = next_plan(Plan.from_json(db.execute(query).scalar_one().encode()), ahead)
        row = {"model": model, "serial": plan.serial, "plan": plan.to_json().decode()}
        db.execute(insert(plans).values(**row, at=now, actor=ACTOR, reason=reason))
        made.append(plan)
    trials = tables["experiments"]
    ended = {"status": "stopped", "ended_at": now, "reason": "the hub was restored from a backup"}
    db.execute(update(trials).where(trials.c.status.in_(OPEN)).values(**ended))
    _note_restore(db, tables["audit"], made_at, now, missing)
    return made


def _note_restore(
    db: Connection, audit: Table, made_at: float, now: float, missing: Sequence[str]
) -> None:
    newest = db.execute(select(func.max(audit.c.id))).scalar() or 0
    detail = {"backup_of": made_at, "missing": list(missing)}
    entry = {
        "id": newest + events_ahead(made_at, now), "at": now, "actor": ACTOR, "action": "restore",
        "model": None, "detail": detail, **asdict(classified(ACTOR, "restore", detail)),
    }  # fmt: skip
    # A backup of an older hub has fewer columns.
    db.execute(insert(audit).values({n: value for n, value in entry.items() if n in audit.c}))
    go_on_counting(db, audit)


def _mark_of(engine: Engine) -> str | None:
    """Return the name of the backup that a database was made of, where it can keep one."""
    if is_sqlite(engine):
        return None
    with engine.connect() as db:
        found = db.execute(text("SELECT obj_description(to_regclass('alembic_version'))")).scalar()
    return None if found is None else str(found)


def _leave_mark(db: Connection, mark: str) -> None:
    if db.dialect.name != "sqlite":
        check_digest("backup", mark)  # it becomes part of a statement, which takes no parameter
        db.execute(text(f"COMMENT ON TABLE alembic_version IS '{mark}'"))


def _check_names(tables: Mapping[str, Table], manifest: BackupManifest) -> None:
    if set(tables) != set(manifest.tables):
        differ = ", ".join(sorted(set(tables) ^ set(manifest.tables)))
        raise Invalid(f"backup: its tables are not those of revision {manifest.revision}: {differ}")


def _fill(db: Connection, table: Table, path: Path) -> None:
    try:
        load_table(db, table, path)
    except SQLAlchemyError:
        raise
    except Exception as error:
        driver: Any = db.dialect.dbapi
        if driver is None or not isinstance(error, driver.Error):
            raise
        why = str(error).partition("\n")[0]
        raise HubFault(f"table {table.name}: the database does not take its rows; {why}") from error
