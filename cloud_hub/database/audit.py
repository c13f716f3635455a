"""The audit log: who acted, when, and on what evidence. Rows are only ever added."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Column, Engine, Float, Integer, String, Table, insert, select

from cloud_hub.database.engine import metadata, transaction

audit_table = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("model", String, index=True),
    Column("detail", JSON, nullable=False),
)


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
            action: what was done, in a word or two.
            model: that it concerns; ``None`` for none.
            detail: plain JSON: reason, evidence, what changed.
        """
        row = {"at": time.time(), "actor": actor, "action": action, "model": model}
        with transaction(self._engine) as db:
            db.execute(insert(audit_table).values(**row, detail=dict(detail or {})))

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
        query = select(audit_table).order_by(audit_table.c.id.desc()).limit(limit)
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
