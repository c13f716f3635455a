"""The audit log, which is the stream of events too: who did what, when, on what evidence.

Rows are only ever added, in the transaction of what they tell. Their ids ascend in the order in
which transactions were committed, so whoever reads on from the last id that they have misses
nothing: on PostgreSQL an entry is inserted as the last of its transaction, below a lock.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    String,
    Table,
    insert,
    select,
    text,
)

from cloud_hub.database.engine import at_the_end, metadata
from cloud_hub.database.event_kinds import classified
from cloud_hub.database.locks import lock_key

audit_table = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("model", String, index=True),
    Column("detail", JSON, nullable=False),
    # Below: None in rows of older hubs, and derived when they are read.
    Column("kind", String),
    Column("type", String),
    Column("severity", String),
    Column("version", String),
    Column("device", String),
    Index("audit_by_kind", "kind", "id"),
    Index("audit_by_device", "device", "id"),
)

_ORDER: Final = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=lock_key("events"))
_COLUMNS = [audit_table.c[name] for name in ("id", "at", "actor", "action", "model", "detail")]


@dataclass(frozen=True)
class AuditEntry:
    """One action. ``at`` is in Unix seconds; ``detail`` is plain JSON, as the action has it."""

    id: int
    at: float
    actor: str
    action: str
    model: str | None
    detail: Mapping[str, Any]


class Audit:
    """The audit log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self, actor: str, action: str, model: str | None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Add an entry, as part of the open transaction if there is one.

        Args:
            actor: who acted: an administrator, a device, the hub, a run.
            action: what was done, in a word or two; ``event_kinds.py`` says what event that is.
            model: that it concerns; ``None`` for none.
            detail: plain JSON: reason, evidence, what changed.
        """
        row = {"at": time.time(), "actor": actor, "action": action, "model": model}
        row |= {"detail": dict(detail or {}), **vars(classified(actor, action, detail or {}))}

        def write(db: Connection) -> None:
            if db.dialect.name == "postgresql":
                # Or a reader could have seen a later id than one that is not committed yet.
                db.execute(_ORDER)
            db.execute(insert(audit_table).values(**row))

        at_the_end(self._engine, write)

    def entries(
        self,
        model: str | None = None,
        limit: int = 200,
        *,
        since: float | None = None,
        action: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        models: Collection[str] | None = None,
    ) -> list[AuditEntry]:
        """Return the newest entries, oldest first.

        Args:
            model: that they concern; default all, those of no model included.
            limit: at most so many.
            since: their first moment in Unix seconds; default the beginning.
            action: that they are of; default all.
            actor: who acted; default anybody.
            before: their numbers are below this one; default any.
            models: one of which they concern; default all, and those of no model.
        """
        # By number and not by time: the clock of the machine may be set back.
        query = select(*_COLUMNS).order_by(audit_table.c.id.desc()).limit(limit)
        if model is not None:
            query = query.where(audit_table.c.model == model)
        if action is not None:
            query = query.where(audit_table.c.action == action)
        if actor is not None:
            query = query.where(audit_table.c.actor == actor)
        if models is not None:
            query = query.where(audit_table.c.model.in_(models))
        if before is not None:
            query = query.where(audit_table.c.id < before)
        if since is not None:
            query = query.where(audit_table.c.at >= since)
        with self._engine.connect() as db:
            entries = [AuditEntry(**row) for row in db.execute(query).mappings()]
        return entries[::-1]
