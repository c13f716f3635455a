"""The table of runs: the queue that outlives the hub's process."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, insert, select, update

from cloud_hub.database.engine import transaction
from cloud_hub.errors import NotFound
from cloud_hub.runs.tables import runs

ACTIVE: Final = ("waiting", "training", "experiment")


@dataclass(frozen=True)
class RunRecord:
    """One run. Rows predicted from ``since`` to ``until`` are fresh; ``gate`` is the offline
    gate's table; ``mode_reason`` says why the mode is not the one that was asked for.
    """

    id: int
    model: str
    mode: str
    mode_reason: str
    parent: str
    causes: list[dict[str, Any]]
    status: str
    since: float
    until: float | None
    created_at: float
    updated_at: float
    attempts: int
    rows: int
    peak_mb: int
    version: str | None
    experiment: str | None
    gate: list[dict[str, Any]]
    reason: str

    @property
    def active(self) -> bool:
        """Whether anything is still to come."""
        return self.status in ACTIVE


class RunStore:
    """Runs of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()

    def records(self, model: str | None = None, *, active: bool = False) -> list[RunRecord]:
        """All runs, oldest first; or those that are ``active``."""
        query = select(runs).order_by(runs.c.id)
        if model is not None:
            query = query.where(runs.c.model == model)
        if active:
            query = query.where(runs.c.status.in_(ACTIVE))
        with self._engine.connect() as db:
            return [RunRecord(**row) for row in db.execute(query).mappings()]

    def get(self, id_: int) -> RunRecord:
        """One run; raises NotFound."""
        with self._engine.connect() as db:
            row = db.execute(select(runs).where(runs.c.id == id_)).mappings().first()
        if row is None:
            raise NotFound(f"run {id_}: not found")
        return RunRecord(**row)

    def join_or_add(self, model: str, cause: dict[str, Any], **new: Any) -> tuple[RunRecord, bool]:
        """Add a cause to the run of ``model`` that is active, else a new run; whether it is new."""
        with self._lock:
            active = self.records(model, active=True)
            if active:
                self.note(active[0], causes=[*active[0].causes, cause])
                return self.get(active[0].id), False
            now = time.time()
            row = {"model": model, "causes": [cause], "status": "waiting", "gate": []}
            with self._engine.begin() as db:
                query = insert(runs).values(**row, **new, created_at=now, updated_at=now)
                key = db.execute(query).inserted_primary_key
            assert key is not None
            return self.get(int(key[0])), True

    def whole(self) -> AbstractContextManager[object]:
        """What is written within it is kept together, or not at all."""
        return transaction(self._engine)

    def note(self, run: RunRecord, **values: Any) -> None:
        """Change a run."""
        change = update(runs).where(runs.c.id == run.id)
        with transaction(self._engine) as db:
            db.execute(change.values(**values, updated_at=time.time()))
