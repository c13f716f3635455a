"""Batch jobs of all models: asked for, computed in processes of their own, made visible, dropped.

The hub alone writes records; workers write rows. A record says ``whole`` after the store holds the
whole, and ``dropped`` before the store lets go of it: whoever reads by the records reads all rows
of a generation or none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.batch.answering import Answering
from cloud_hub.batch.job_status import JobStatus, source_text, status_of
from cloud_hub.batch.schedule import due, retired
from cloud_hub.batch.sources.feature_history import keep_features, knows_the_past
from cloud_hub.batch.sources.readers import url_of
from cloud_hub.batch.stores.store import Stamp
from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.registry.per_model import for_each
from cloud_hub.text.spelling import did_you_mean, listed
from edge_sdk.contract.codec import to_plain

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.batch.catalogue import Catalogue
    from cloud_hub.batch.generations import Generations
    from cloud_hub.batch.record import GenerationRecord
    from cloud_hub.batch.stores.store import Store
    from cloud_hub.batch.workers import BatchWorkers
    from cloud_hub.database.audit import Audit
    from cloud_hub.features.sets import FeatureSets
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.batch import BatchJob
    from cloud_hub.registry.service import Registry
    from edge_sdk.model.release import Release

log = logging.getLogger(__name__)

ACTOR: Final = "hub"
SLOTS: Final = 1
"""Generations that are computed at once on one machine: each takes all of its cores."""

MOST_BACKFILLS: Final = 1_000
CLEANED: Final = 200
"""Ended generations whose leftovers are looked for when a hub starts."""


class Batches:
    """The batch jobs of every model.

    Args:
        data: folder of the hub.
        database: SQLAlchemy URL of its database, where that is PostgreSQL.
        engine: of its database.
        audit: where generations are noted.
        features: declared sets, whose rows of a moment are a source.
        registry: policies and releases.
        plans: say which version of a line serves.
        catalogue: records of generations.
        generations: for readers, who are told of changes.
        stores: of rows, by the ``output`` of a job.
        workers: processes that compute.
    """

    def __init__(
        self,
        data: Path,
        database: str | None,
        engine: Engine,
        audit: Audit,
        features: FeatureSets,
        registry: Registry,
        plans: Plans,
        catalogue: Catalogue,
        generations: Generations,
        stores: Mapping[str, Store],
        workers: BatchWorkers,
    ) -> None:
        self._data = data
        self._database = database
        self._engine = engine
        self._audit = audit
        self._features = features
        self._registry = registry
        self._plans = plans
        self._catalogue = catalogue
        self._generations = generations
        self._stores = stores
        self._workers = workers
        self._known: dict[tuple[str, str], float] = {}
        self._told: dict[int, float] = {}
        self._repaired = False
        self.note_cost: Callable[[GenerationRecord, float], object] = lambda *_: None
        """Told the processor time of each generation; who opens the hub sets it."""

    def tick(self, now: float) -> None:
        """Take what is finished, ask for what is due, begin what waits, drop what is old."""
        if not self._repaired:
            self._repair()
            self._repaired = True
        running = {record.id: record for record in self._catalogue.everywhere("running")}
        for id_ in self._workers.end_others(running):
            self._discard(self._catalogue.get(id_))  # cancelled in another process of the hub
        for record in running.values():
            self._look(record, now)
        for_each(self._registry.models(), lambda model: self._ask(model, now))
        self._begin(now)

    def stop(self) -> None:
        """End the workers of this hub; what they were at goes on when it starts again."""
        self._workers.stop()

    def jobs(self, model: str, now: float | None = None) -> list[JobStatus]:
        """Return every job of a model's policy."""
        at = time.time() if now is None else now
        return [
            status_of(
                self._catalogue.of(model, name), self._catalogue.current(model, name),
                model=model, name=name, line=self.line(model, job), job=job, now=at,
            )
            for name, job in self._registry.policy(model).batch.items()
        ]  # fmt: skip

    def records(
        self, model: str, job: str | None = None, limit: int = 100
    ) -> list[GenerationRecord]:
        """Return the newest generations, oldest first."""
        return self._catalogue.of(model, job, limit=limit)

    def get(self, id_: int) -> GenerationRecord:
        """Return one generation; raises NotFound."""
        return self._catalogue.get(id_)

    def job(self, model: str, name: str) -> BatchJob:
        """Return a job of a model's policy; raises NotFound with the names of those that exist."""
        jobs = self._registry.policy(model).batch
        if name not in jobs:
            has = f"the policy has {listed(list(jobs))}" if jobs else "the policy has no batch jobs"
            raise NotFound(f"{model}: no batch job {name}; {did_you_mean(name, list(jobs))}{has}")
        return jobs[name]

    def run(
        self, model: str, name: str, *, actor: str, as_of: float | None = None
    ) -> GenerationRecord:
        """Ask for a generation now.

        Args:
            model: name of the line.
            name: of a job in its policy.
            actor: who asks.
            as_of: moment that it is for, in Unix seconds; default now.

        Raises:
            NotFound: no such job.
            Conflict: one waits or runs, or nothing serves that could answer.
            Invalid: the model that serves does not fit the job.
        """
        job, now = self.job(model, name), time.time()
        if active := self._catalogue.of(model, name, "waiting", "running"):
            raise Conflict(
                f"{model} {name}: generation {active[-1].id} is {active[-1].status}; wait for it, "
                f"or end it with edge-hub batch cancel {active[-1].id}"
            )
        self._check(model, job)
        moment = now if as_of is None else as_of
        return self._catalogue.add(model, name, cause="hand", actor=actor, as_of=moment, now=now)

    def backfill(
        self, model: str, name: str, moments: Sequence[float], *, actor: str
    ) -> list[GenerationRecord]:
        """Ask for generations of moments in the past; those that are there stay as they are.

        Args:
            model: name of the line.
            name: of a job whose source can be asked for a moment.
            moments: Unix seconds, not in the future.
            actor: who asks.

        Raises:
            NotFound: no such job.
            Conflict: nothing serves that could answer.
            Invalid: the source knows one moment only, or there are too many moments.
        """
        job, now = self.job(model, name), time.time()
        if not knows_the_past(job.source, self._features, model):
            raise Invalid(
                f"{name}: its source is what it is now; a backfill needs a query that uses :as_of, "
                "or the entities of declared sets of features"
            )
        if not 0 < len(moments) <= MOST_BACKFILLS:
            raise Invalid(f"backfill: expected 1 to {MOST_BACKFILLS} moments, got {len(moments)}")
        if max(moments) > now:
            raise Invalid("backfill: expected moments of the past")
        self._check(model, job)
        with transaction(self._engine):  # all of them, or none
            return [
                self._catalogue.add(
                    model, name, cause="backfill", actor=actor, as_of=moment, now=now
                )
                for moment in sorted(set(moments))
            ]

    def cancel(self, id_: int, *, actor: str, reason: str) -> GenerationRecord:
        """End a generation that waits or runs; raises NotFound, Conflict."""
        record = self._catalogue.get(id_)
        if record.status not in ("waiting", "running"):
            raise Conflict(f"generation {id_}: is {record.status} already")
        self._catalogue.note(id_, status="cancelled", reason=f"by {actor}: {reason}")
        self._workers.end(id_)
        self._discard(record)
        self._audit.record(actor, "batch cancelled", record.model, {"generation": id_})
        return self._catalogue.get(id_)

    def drop(self, id_: int, *, actor: str, reason: str) -> GenerationRecord:
        """Drop a generation that is whole; one before it answers then. Raises as :meth:`cancel`."""
        record = self._catalogue.get(id_)
        if record.status != "whole":
            raise Conflict(f"generation {id_}: is {record.status}, and not whole")
        self._retire(record, f"dropped by {actor}: {reason}")
        self._audit.record(actor, "batch dropped", record.model, {"generation": id_})
        return self._catalogue.get(id_)

    def line(self, model: str, job: BatchJob) -> str:
        """Return the model that answers: the job's, else the cloud line if it serves."""
        if job.model is not None:
            return job.model
        cloud = self._registry.policy(model).cloud
        return cloud if cloud is not None and self._plans.current(cloud) is not None else model

    def _fitting(self, model: str, job: BatchJob) -> Release:
        """Return the release that would answer; raises Conflict if nothing serves."""
        line = self.line(model, job)
        plan = self._plans.current(line)
        if plan is None:
            raise Conflict(f"{line}: nothing serves that could answer; promote a version first")
        return self._registry.release(line, plan.serving.version)

    def _check(self, model: str, job: BatchJob) -> None:
        """Raise Conflict or Invalid if no worker could even begin."""
        Answering(self._fitting(model, job), job)
        self._urls(job)

    def _ask(self, model: str, now: float) -> None:
        for name, job in self._registry.policy(model).batch.items():
            since = self._known.setdefault((model, name), now)
            if not job.scheduled:
                continue
            plan = self._plans.current(self.line(model, job))
            records = self._catalogue.of(model, name, limit=50)
            serving = None if plan is None else plan.serving.manifest
            asked = due(job, records, serving, since=since, now=now)
            if asked is None:
                continue
            active = [r for r in records if r.status in ("waiting", "running")]
            if any(record.cause != "backfill" for record in active):
                self._overlaps(active[-1], asked.as_of, now)
                continue
            self._catalogue.add(
                model, name, cause=asked.cause, actor=ACTOR, as_of=asked.as_of, now=now
            )

    def _overlaps(self, active: GenerationRecord, due_at: float, now: float) -> None:
        """Say, once for each that runs, that the schedule is faster than the work."""
        if active.id not in self._told:
            self._told[active.id] = now
            text = f"the schedule asked again while this one was {active.status}; one more follows"
            self._catalogue.note(active.id, reason=text)
            log.warning("%s %s: generation %d: %s", active.model, active.job, active.id, text)

    def _begin(self, now: float) -> None:
        """Start what waits, newest wish first among jobs, as far as there are slots."""
        running = len(self._catalogue.everywhere("running"))
        # What people and schedules wait for goes before the past.
        waiting = sorted(
            self._catalogue.everywhere("waiting"), key=lambda r: (r.cause == "backfill", r.id)
        )
        for record in waiting[: max(0, SLOTS - running)]:
            try:
                self._start(record, now)
            except HubFault as error:
                self._failed(record, str(error))

    def task(self, record: GenerationRecord) -> tuple[BatchTask, Answering]:
        """Return what a worker is told of a generation, and the model that answers.

        Raises:
            NotFound: the policy has no such job any more.
            Conflict: nothing serves.
            Invalid: what serves does not fit the job, or its database is not named here.
        """
        job = self.job(record.model, record.job)
        release = self._fitting(record.model, job)
        manifest = release.manifest
        task = BatchTask(
            record.id, record.model, record.job, job, record.as_of,
            f"{manifest.model} {manifest.version}", str(release.folder),
            str(self._data), str(self._workers.folder(record.id)), **self._urls(job),
        )  # fmt: skip
        return task, Answering(release, job)

    def _start(self, record: GenerationRecord, now: float) -> None:
        task, answering = self.task(record)
        line, _, version = task.version.rpartition(" ")
        # Before the worker starts: a hub that dies in between goes on with it.
        self._catalogue.note(
            record.id, status="running", line=line, version=version,
            digest=answering.digest, output=task.job.output, layout=to_plain(answering.layout),
            started_at=now, attempts=1, source=source_text(task.job), reason="",
        )  # fmt: skip
        if task.job.source.entities is not None:
            keep_features(self._features, task.model, Path(task.work), task.as_of)
        self._workers.start(task)
        log.info("%s %s: generation %d begins", record.model, record.job, record.id)

    def _urls(self, job: BatchJob) -> dict[str, Any]:
        databases = job.source.query is not None or job.source.table is not None
        url = url_of(job.source) if databases else None
        return {"database": self._database, "source": url}

    def _look(self, record: GenerationRecord, now: float) -> None:
        if self._workers.busy(record.id):
            if news := self._workers.news(record):
                self._catalogue.note(record.id, **news)
            return
        outcome = self._workers.outcome(record.id)
        if outcome is None:
            self._go_on(record, now)
            return
        self.note_cost(record, outcome.core_seconds)
        if outcome.status == "failed":
            self._failed(record, outcome.reason)
        else:
            self._whole(record, outcome, now)

    def _go_on(self, record: GenerationRecord, now: float) -> None:
        """Start a worker again, with the very task that the generation was begun with."""
        task = self._workers.task(record.id)
        if task is None:  # killed before it was written: nothing was computed either
            self._catalogue.note(record.id, status="waiting", reason="")
            return
        self._catalogue.note(record.id, attempts=record.attempts + 1)
        try:
            self._workers.start(replace(task, **self._urls(task.job)))
        except HubFault as error:
            self._failed(record, str(error))

    def _whole(self, record: GenerationRecord, outcome: BatchOutcome, now: float) -> None:
        task = self._workers.task(record.id)
        valid = task.job.valid_seconds if task is not None else 0.0
        self._catalogue.note(
            record.id, status="whole", rows=outcome.rows, partitions=outcome.parts,
            done=outcome.parts, computed_at=outcome.computed_at,
            valid_until=outcome.computed_at + valid, peak_mb=outcome.peak_mb,
        )  # fmt: skip
        self._generations.forget(record.model, record.job)
        self._show(record.model, record.job)
        self._workers.remove(record.id)
        detail = {"job": record.job, "generation": record.id, "rows": outcome.rows}
        self._audit.record(record.actor, "batch", record.model, detail)
        log.info("%s %s: generation %d: %s", record.model, record.job, record.id, outcome.reason)
        self._keep(record.model, record.job, now)

    def _failed(self, record: GenerationRecord, reason: str) -> None:
        self._catalogue.note(record.id, status="failed", reason=reason[:1_000])
        self._discard(record)
        detail = {"job": record.job, "generation": record.id, "reason": reason[:1_000]}
        self._audit.record(ACTOR, "batch failed", record.model, detail)
        log.warning("%s %s: generation %d: %s", record.model, record.job, record.id, reason)

    def _discard(self, record: GenerationRecord) -> None:
        self._stores[record.output].drop(record.place)
        self._workers.remove(record.id)

    def _show(self, model: str, job: str) -> None:
        current = self._catalogue.current(model, job)
        if current is not None:
            stamp = Stamp(
                current.id, model, job, f"{current.line} {current.version}",
                current.computed_at or 0.0, current.valid_until or 0.0,
            )  # fmt: skip
            self._stores[current.output].show(current.place, current.columns, stamp)

    def _keep(self, model: str, name: str, now: float) -> None:
        job = self._registry.policy(model).batch.get(name)
        for record in retired(self._catalogue.of(model, name, "whole"), job, now):
            self._retire(record, "older than what the policy keeps")

    def _retire(self, record: GenerationRecord, reason: str) -> None:
        # First the record: nobody begins to read what is about to go.
        self._catalogue.note(record.id, status="dropped", reason=reason)
        self._generations.forget(record.model, record.job)
        self._show(record.model, record.job)
        self._stores[record.output].drop(record.place)

    def _repair(self) -> None:
        """Finish what a kill left between a record and a store."""
        ended = self._catalogue.everywhere("failed", "cancelled", "dropped")
        for record in ended[-CLEANED:]:
            self._discard(record)
        unfinished = {r.id for r in self._catalogue.everywhere("waiting", "running")}
        for id_ in list(self._workers.folders()):
            if id_ not in unfinished:
                self._workers.remove(id_)
        for model, job in {(r.model, r.job) for r in self._catalogue.everywhere("whole")}:
            self._show(model, job)
