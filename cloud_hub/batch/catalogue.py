"""The records of generations in the hub's database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, Select, insert, select, update

from cloud_hub.batch.record import Cause, GenerationRecord, Status
from cloud_hub.batch.schedule import in_front
from cloud_hub.batch.tables import generations
from cloud_hub.database.engine import reading, transaction
from cloud_hub.errors import NotFound


class Catalogue:
    """Records of all generations, oldest first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, id_: int) -> GenerationRecord:
        """Return one record; raises NotFound."""
        found = self._read(select(generations).where(generations.c.id == id_))
        if not found:
            raise NotFound(f"generation {id_}: there is none")
        return found[0]

    def of(
        self, model: str, job: str | None = None, *statuses: Status, limit: int = 1_000
    ) -> list[GenerationRecord]:
        """Return the newest records of a model.

        Args:
            model: name of the line.
            job: default all jobs.
            statuses: default all.
            limit: at most so many.
        """
        query = select(generations).where(generations.c.model == model)
        if job is not None:
            query = query.where(generations.c.job == job)
        return self._read(_newest(_with(query, statuses), limit))[::-1]

    def everywhere(self, *statuses: Status) -> list[GenerationRecord]:
        """Return the records of all models that have one of the statuses."""
        return self._read(_with(select(generations), statuses).order_by(generations.c.id))

    def current(self, model: str, job: str) -> GenerationRecord | None:
        """Return the generation that answers: the whole one that is in front; see schedule.py."""
        now = time.time()
        whole = self.of(model, job, "whole")
        return max(whole, key=lambda record: in_front(record, now), default=None)

    def add(
        self, model: str, job: str, *, cause: Cause, actor: str, as_of: float, now: float
    ) -> GenerationRecord:
        """Ask for a generation, or return the one of the same cause and moment.

        Args:
            model: name of the line.
            job: name in its policy.
            cause: what asks.
            actor: who asks.
            as_of: moment that it is for, in Unix seconds.
            now: Unix seconds.
        """
        same = select(generations).where(
            generations.c.model == model, generations.c.job == job,
            generations.c.cause == cause, generations.c.as_of == as_of,
        )  # fmt: skip
        with transaction(self._engine) as db:
            there = db.execute(same).mappings().first()
            if there is not None:
                return GenerationRecord(**there)
            row = {"model": model, "job": job, "cause": cause, "actor": actor, "as_of": as_of}
            new = {**row, "status": "waiting", "layout": {}, "created_at": now, "updated_at": now}
            db.execute(insert(generations).values(**new))
            return GenerationRecord(**db.execute(same).mappings().one())

    def note(self, id_: int, **values: Any) -> None:
        """Change some columns of a record."""
        with transaction(self._engine) as db:
            change = update(generations).where(generations.c.id == id_)
            db.execute(change.values(**values, updated_at=time.time()))

    def _read(self, query: Select[Any]) -> list[GenerationRecord]:
        with reading(self._engine) as db:
            return [GenerationRecord(**row) for row in db.execute(query).mappings()]


def _newest(query: Select[Any], limit: int) -> Select[Any]:
    return query.order_by(generations.c.id.desc()).limit(limit)


def _with(query: Select[Any], statuses: Sequence[Status]) -> Select[Any]:
    return query.where(generations.c.status.in_(statuses)) if statuses else query
