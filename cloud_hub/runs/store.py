"""The table of runs: the queue that outlives the hub's process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select, update

from cloud_hub.database.documents import Document, as_document, omitted
from cloud_hub.database.engine import reading, transaction
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.registry.tables import models
from cloud_hub.runs.gate import Check
from cloud_hub.runs.tables import runs
from cloud_hub.triggers.store import Firing

ACTIVE: Final = ("waiting", "training", "experiment")


@dataclass(frozen=True)
class RunCause:
    """Reason for a run: a person's (``manual``, with a ``reason``) or the firing of a trigger, with
    its time ``at`` (Unix seconds), the ``version`` that served, and its evidence.
    """

    kind: str
    actor: str | None = omitted()
    reason: str | None = omitted()
    trigger: str | None = omitted()
    version: str | None = omitted()
    at: float | None = omitted()
    evidence: Document | None = omitted()


@dataclass(frozen=True)
class RunRecord:
    """One run. Rows predicted from ``since`` to ``until`` are fresh; ``gate`` is the offline
    gate's table; ``mode_reason`` says why the mode is not the one that was asked for; ``isolation``
    what its worker was kept from, as measured before it ran foreign code; ``datasets`` are the
    versions that it trains on, as ``NAME@N``; ``validation`` the report on each of them;
    ``pipeline`` is the number of the version of its code, ``parameters`` what the policy said,
    ``repeats`` the run whose bytes it makes once more; ``begin`` is the step at which a run that
    waits is taken up again, ``waits_since`` when a person had it wait for rows once more.
    """

    id: int
    model: str
    mode: str
    mode_reason: str
    parent: str
    causes: tuple[RunCause, ...]
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
    gate: tuple[Check, ...]
    reason: str
    isolation: str
    datasets: tuple[str, ...]
    validation: tuple[Document, ...]
    pipeline: int | None
    parameters: Document
    repeats: int | None
    begin: str | None
    waits_since: float | None


class RunStore:
    """Runs of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()

    def records(self, model: str | None = None, *, active: bool = False) -> list[RunRecord]:
        """Return all runs of one model or of all, oldest first; or those that are ``active``."""
        query = select(runs).order_by(runs.c.id)
        if model is not None:
            query = query.where(runs.c.model == model)
        if active:
            query = query.where(runs.c.status.in_(ACTIVE))
        with reading(self._engine) as db:
            return [_record(row) for row in db.execute(query).mappings()]

    def get(self, id_: int) -> RunRecord:
        """Return one run; raises NotFound."""
        with reading(self._engine) as db:
            row = db.execute(select(runs).where(runs.c.id == id_)).mappings().first()
        if row is None:
            raise NotFound(f"run {id_}: not found")
        return _record(row)

    def join_or_add(self, model: str, cause: RunCause, **new: Any) -> tuple[RunRecord, bool]:
        """Add a cause to the active run of a model, or add a run.

        Args:
            model: name of the model.
            cause: why.
            new: columns of a run that is added.

        Returns:
            The run, and whether it is new.
        """
        # Two triggers of one tick, or a person and a trigger, must not start two runs.
        with self._alone(model):
            # A repetition changes nothing, so a trigger that joined it would be lost.
            active = [r for r in self.records(model, active=True) if r.repeats is None]
            if active:
                causes = [as_document(each) for each in (*active[0].causes, cause)]
                self.note(active[0], causes=causes)
                return self.get(active[0].id), False
            return self.add(model, cause, **new), True

    def add(self, model: str, cause: RunCause, **new: Any) -> RunRecord:
        """Add a run with the columns ``new``; see :class:`RunRecord`."""
        now = time.time()
        row = {"model": model, "causes": [as_document(cause)], "status": "waiting", "gate": []}
        with transaction(self._engine) as db:
            query = insert(runs).values(**{**row, **new}, created_at=now, updated_at=now)
            key = db.execute(query).inserted_primary_key
        assert key is not None
        return self.get(int(key[0]))

    def take_up(self, run: RunRecord, **values: Any) -> RunRecord:
        """Make a run that has ended active again, with the columns ``values``.

        Raises:
            Conflict: another run of the model is active.
        """
        with self._alone(run.model):
            active = [r for r in self.records(run.model, active=True) if r.repeats is None]
            if active:
                raise Conflict(
                    f"run {run.id}: run {active[0].id} of {run.model} is {active[0].status}; wait "
                    "for its end, or cancel it"
                )
            self.note(run, **values)
            return self.get(run.id)

    @contextlib.contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        """Keep other threads and other processes of the hub from the runs of a model."""
        with self._lock, self.whole() as db:
            # A write, since a read would keep nobody out of SQLite; it locks the row in PostgreSQL.
            db.execute(update(models).where(models.c.model == model).values(model=model))
            yield

    def whole(self) -> AbstractContextManager[Connection]:
        """Return a context in which everything that is written is stored, or nothing."""
        return transaction(self._engine)

    def note(self, run: RunRecord, **values: Any) -> None:
        """Change the columns ``values`` of a run; see :class:`RunRecord`."""
        change = update(runs).where(runs.c.id == run.id)
        with transaction(self._engine) as db:
            db.execute(change.values(**values, updated_at=time.time()))

    def move(self, run: RunRecord, **values: Any) -> RunRecord:
        """Change columns of a run, unless it has another status by now than ``run`` says.

        Returns:
            The run as it is then.

        Raises:
            Conflict: somebody cancelled it meanwhile, or took it up.
        """
        mine = (runs.c.id == run.id, runs.c.status == run.status)
        with transaction(self._engine) as db:
            change = update(runs).where(*mine).values(**values, updated_at=time.time())
            if not db.execute(change).rowcount:
                raise Conflict(f"run {run.id}: is {self.get(run.id).status} by now")
            return self.get(run.id)


def cause_of(firing: Firing) -> RunCause:
    """Return the firing of a trigger as the cause of a run."""
    return RunCause(
        kind=firing.kind,
        actor=firing.actor,
        trigger=firing.trigger,
        version=firing.version,
        at=firing.at,
        evidence=firing.evidence,
    )


def _record(row: Any) -> RunRecord:
    causes = tuple(RunCause(**cause) for cause in row["causes"])
    gate = tuple(Check(**check) for check in row["gate"])
    datasets, reports = tuple(row["datasets"] or ()), tuple(row["validation"] or ())
    lists = {"causes": causes, "gate": gate, "datasets": datasets, "validation": reports}
    return RunRecord(**{**row, **lists, "parameters": row["parameters"] or {}})
