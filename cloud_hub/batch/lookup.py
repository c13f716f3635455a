"""Answers by entity: precomputed, else by the model with stored features, else the default.

Each answer says which it is. One that is older than its job lets answers be is not given.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.batch.answering import Answering
from cloud_hub.batch.entity_answer import EntityAnswer, precomputed
from cloud_hub.batch.generations import RECENT_SECONDS
from cloud_hub.batch.layout import ENTITY, prediction_of
from cloud_hub.batch.sources.wanted import batch_of
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.text.spelling import listed

if TYPE_CHECKING:
    from cloud_hub.batch.generations import Generations
    from cloud_hub.batch.service import Batches
    from cloud_hub.batch.sources.entity_source import EntitySource
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.batch import BatchJob
    from cloud_hub.registry.service import Registry

MOST: Final = 1_000
"""Entities of one request."""


class Lookups:
    """Looks entities up in the batch jobs of every model.

    Args:
        registry: policies and releases.
        plans: say which version of a line serves.
        batches: jobs.
        generations: precomputed answers.
        entities: stored features.
    """

    def __init__(
        self,
        registry: Registry,
        plans: Plans,
        batches: Batches,
        generations: Generations,
        entities: EntitySource,
    ) -> None:
        self._registry = registry
        self._plans = plans
        self._batches = batches
        self._generations = generations
        self._entities = entities
        self._recent: dict[tuple[str, str | None], tuple[float, str | None]] = {}
        self._answering = functools.lru_cache(16)(self._opened)

    def job(self, model: str, name: str | None) -> tuple[str, BatchJob]:
        """Return a job by name; the only one where no name is given.

        Raises:
            NotFound: there is none.
            Invalid: there are several, and no name.
        """
        if name is not None:
            return name, self._batches.job(model, name)
        jobs = self._registry.policy(model).batch
        if not jobs:
            raise NotFound(f"{model}: the policy has no batch jobs")
        if len(jobs) > 1:
            raise Invalid(f"job: {model} has {listed(list(jobs))}; name one")
        return next(iter(jobs.items()))

    def recent_job(self, model: str, name: str | None) -> str | None:
        """Return the name of a job that can be looked up in, as of at most a second ago.

        ``None`` if there is none; :meth:`job` says why.
        """
        now = time.monotonic()
        until, found = self._recent.get((model, name), (0.0, None))
        if now >= until:
            try:
                found, job = self.job(model, name)
            except HubFault:
                return None  # and nothing is remembered: names that do not exist are without end
            found = found if job.output == "sql" else None
            self._recent[(model, name)] = (now + RECENT_SECONDS, found)
        return found

    def find(
        self, model: str, name: str, job: BatchJob, entities: Sequence[str]
    ) -> list[EntityAnswer]:
        """Return an answer for each entity, in order.

        Args:
            model: whose policy has the job.
            name: of the job.
            job: from :meth:`job`.
            entities: names, at most :data:`MOST`.

        Raises:
            Invalid: there are too many.
            Conflict: the job writes Parquet only.
        """
        if len(entities) > MOST:
            raise Invalid(f"entities: expected at most {MOST}, got {len(entities)}")
        if job.output != "sql":
            raise Conflict(f"{name}: writes Parquet, which no entity is looked up in; output: sql")
        found = self._precomputed(model, name, entities)
        return [found.get(entity) or self._else(model, name, job, entity) for entity in entities]

    def _precomputed(
        self, model: str, name: str, entities: Sequence[str]
    ) -> dict[str, EntityAnswer]:
        for _ in range(2):
            generation = self._generations.recent(model, name)
            if generation is None or (generation.record.valid_until or 0.0) <= time.time():
                return {}
            record = generation.record
            try:
                rows = generation.find(entities)
            except NotFound:  # another process has dropped it within the last second
                self._generations.forget(model, name)
                continue
            return {e: precomputed(record, e, values) for e, values in rows.items()}
        return {}

    def _else(self, model: str, name: str, job: BatchJob, entity: str) -> EntityAnswer:
        answer = self._by_model(model, name, job, entity)
        if answer is not None:
            return answer
        if job.default_items:
            items = {"items": list(job.default_items), "scores": []}
            return EntityAnswer(entity, name, "default", items)
        if job.default is not None:
            return EntityAnswer(entity, name, "default", {"prediction": job.default})
        return EntityAnswer(entity, name, "none", {})

    def _by_model(self, model: str, name: str, job: BatchJob, entity: str) -> EntityAnswer | None:
        """Return the model's answer to the stored features of an entity, if it has all of them."""
        if job.item is not None:
            return None
        line = self._batches.line(model, job)
        plan = self._plans.current(line)
        if plan is None:
            return None
        try:
            answering = self._answering(line, plan.serving.version, model, name)
            wanted = answering.wanted
            columns = [*wanted.numbers, *wanted.texts]
            row = self._entities.row(model, job.source.entities, entity, columns)
            if row is None:
                return None
            # Attributes are of the job's source, and no part of the answer.
            values = {wanted.entity: entity, **dict.fromkeys(job.attributes, ""), **row}
            batch = batch_of(list(values), [list(values.values())], wanted)
            [answer] = answering.answer([batch])
        except HubFault:  # the row does not fit: the default is an answer too
            return None
        document = prediction_of(answering.layout, _first(answer))
        version = f"{line} {plan.serving.version}"
        return EntityAnswer(entity, name, "model", document, version, time.time())

    def _opened(self, line: str, version: str, model: str, name: str) -> Answering:
        job = self._batches.job(model, name)
        return Answering(self._registry.release(line, version), job)


def _first(batch: pa.RecordBatch) -> dict[str, Any]:
    return {name: batch.column(name)[0].as_py() for name in batch.schema.names if name != ENTITY}
