"""Who did what, when, and on what evidence. Rows are only ever added."""

from __future__ import annotations

import time
from collections.abc import Mapping
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


class Audit:
    """The audit log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self, actor: str, action: str, model: str | None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Add an entry; ``detail`` is plain JSON."""
        row = {"at": time.time(), "actor": actor, "action": action, "model": model}
        with transaction(self._engine) as db:
            db.execute(insert(audit_table).values(**row, detail=dict(detail or {})))

    def entries(self, model: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
        """The newest entries, oldest first."""
        query = select(audit_table).order_by(audit_table.c.id.desc()).limit(limit)
        if model is not None:
            query = query.where(audit_table.c.model == model)
        with self._engine.connect() as db:
            rows = [dict(row) for row in db.execute(query).mappings()]
        return rows[::-1]
