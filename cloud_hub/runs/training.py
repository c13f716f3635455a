"""Attempts: from a waiting run to a release or a reason, in a process or a pipeline."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Invalid
from cloud_hub.features.snapshot import digests_in, has_snapshot
from cloud_hub.isolation.handback import opened
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.registry.service import Registry
from cloud_hub.runs import jobs, pipeline, results
from cloud_hub.runs.comparison import as_parameters
from cloud_hub.runs.continuity import mode_before
from cloud_hub.runs.jobs import TrainingJob
from cloud_hub.runs.repetition import rehearsal_of, repeated_job
from cloud_hub.runs.steps.names import TOGETHER, WORKER_STEPS, StepName, steps_before
from cloud_hub.runs.worker_steps import train_inputs, worker_records
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from cloud_hub.data.validation.origins import CappedRows
    from cloud_hub.engine.engine import Engine
    from cloud_hub.engine.remote_process import RemoteProcess
    from cloud_hub.features.sets import FeatureSets
    from cloud_hub.isolation.workers import WorkerProcess, Workers
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.runs.code.service import Pipelines, PipelineVersion
    from cloud_hub.runs.context import Mode
    from cloud_hub.runs.rows import RowsTaken, RunRows
    from cloud_hub.runs.steps.store import StepRecord, StepStore
    from cloud_hub.runs.store import RunRecord, RunStore

log = logging.getLogger(__name__)

FOLDER_BYTES: Final = 16 << 30
"""Bytes that a training may have in its folder."""

HUB_ENDED: Final = "the hub ended"
ATTEMPTS: Final = 2
"""Attempts at a training that is interrupted by the end of the hub, not by its own."""


@dataclass(frozen=True)
class _Training:
    """A worker with its folder, the folder of its attempt, and its job."""

    process: WorkerProcess | RemoteProcess
    work: Path
    folder: Path
    job: TrainingJob
    inputs: Mapping[str, Any]


class TrainingRunner:
    """Trainings of all models; their folders are below ``data/runs``."""

    def __init__(
        self, data: Path, store: RunStore, steps: StepStore, registry: Registry, rows: RunRows,
        pipelines: Pipelines, plans: Plans, workers: Workers, features: FeatureSets,
        engine: Engine,
    ) -> None:  # fmt: skip
        self._engine = engine if engine.elsewhere else None
        self._data = data
        self._store = store
        self._steps = steps
        self._registry = registry
        self.rows = rows
        self.pipelines = pipelines
        self._plans = plans
        self.workers = workers
        self.features = features
        self._running: dict[int, _Training] = {}

    def folder(self, run: RunRecord) -> Path:
        """Return the folder of the run's last attempt."""
        return self._data / "runs" / str(run.id) / jobs.ATTEMPT.format(run.attempts)

    def busy(self) -> int:
        """Return the number of workers that run in this process."""
        return len(self._running)

    def start(
        self, run: RunRecord, policy: TrainPolicy, fresh: CappedRows | None, now: float
    ) -> None:
        """Begin the next attempt, from the first step on.

        Args:
            run: waiting.
            policy: how to train.
            fresh: labelled rows that devices shared; ``None`` where a training brings its own.
            now: Unix seconds.

        Raises:
            HubFault: a pipeline did not take it, nothing here isolates what it would send, or
                a check of the data fails.
        """
        pipeline.check_foreign(self.workers, policy)
        run = self._next_attempt(run)
        taken = self.rows.collect(run, run.attempts, policy, fresh)
        self.rows.validate(run, run.attempts, policy, taken)
        self._train(run, policy, taken, now)

    def resume(self, run: RunRecord, policy: TrainPolicy, begin: StepName) -> None:
        """Begin the next attempt at a later step, with what an earlier attempt made.

        Args:
            run: waiting to be taken up.
            policy: how to train.
            begin: a step of a worker.

        Raises:
            HubFault: see :meth:`start`; rows were deleted.
            NotFound: the earlier attempt left no trained model.
        """
        pipeline.check_foreign(self.workers, policy)
        taken = self.rows.again(run, policy.rehearsal)
        # An evaluation takes the model as it was in memory, a certification the whole release.
        step = TOGETHER.get(begin, begin)
        attempts = jobs.attempts_of(self.folder(run).parent, run.attempts)
        trained = jobs.newest_trained(attempts, run.id) if step == "convert" else None
        # Those of the run's beginning, as its rows are: the store has moved on since.
        features = next((folder for folder in attempts if has_snapshot(folder)), None)
        earlier = [r for r in self._steps.of_run(run.id) if r.step in steps_before(step)]
        with self._store.whole():  # or a hub that is killed here would know of no earlier step
            run = self._next_attempt(run)
            self._steps.reuse(run.id, run.attempts, earlier)
        self._train(run, policy, taken, run.until or run.created_at, step, trained, features)

    def repeat(self, run: RunRecord, original: RunRecord, policy: TrainPolicy) -> None:
        """Begin to make the bytes of another run once more.

        Args:
            run: waiting, that repeats.
            original: the other run.
            policy: limits of time and memory.

        Raises:
            HubFault: its rows or its code are gone.
        """
        folder = self.folder(original)
        job = jobs.job_of(folder)
        manifest = Release.open(folder / results.RELEASE).manifest
        code = self.pipelines.get(run.model, original.pipeline or 0)
        held = self.pipelines.held(run.model)
        live = None if held is not None else self.pipelines.current(run.model, policy)
        in_place = live is not None and live.digest == code.digest
        job = repeated_job(job, manifest, code, in_place=in_place)
        taken = self.rows.again(original, rehearsal_of(original.parameters))
        state = None
        if job.mode == "stateful" or self.workers.takes_foreign():
            state = self._registry.training_state(run.model, run.parent)
        run = self._next_attempt(run)
        with self._store.whole():
            self._store.move(run, status="training", reason=f"repeating run {original.id}")
            self._steps.begin(run.id, run.model, run.attempts, "train", {})
        zipped = None if in_place else self.pipelines.files(code)
        jobs.prepare(
            self.folder(run), job,
            jobs.RunFiles(taken.fresh, taken.history, state, taken.rehearsal, zipped, None, folder),
        )  # fmt: skip
        self._work(run, self.folder(run), job, policy, {})

    def _next_attempt(self, run: RunRecord) -> RunRecord:
        # Before anything of it is done: a hub that dies in between must not use a folder twice.
        with self._store.whole():
            self._steps.end_running(run.id, run.attempts, "interrupted", HUB_ENDED)
            return self._store.move(run, attempts=run.attempts + 1)

    def _train(
        self, run: RunRecord, policy: TrainPolicy, taken: RowsTaken, now: float,
        begin: StepName = "train", trained: Path | None = None, features: Path | None = None,
    ) -> None:  # fmt: skip
        """Start the worker, or call the pipeline, of an attempt whose rows are there."""
        code = self.pipelines.current(run.model, policy)
        job, state = replace(self._job(run, policy, taken, now, code), begin=begin), None
        if self.workers.takes_foreign():
            state = self._registry.training_state(run.model, run.parent)
        folder = self.folder(run)
        if features is None:
            self.features.write_snapshot(run.model, folder, now)
        inputs = train_inputs(
            job, taken, parent=self._registry.release(run.model, run.parent).digest, state=state,
            code=code, rehearsal=asdict(policy.rehearsal), features=digests_in(features or folder),
        )  # fmt: skip
        version, rows = job.versions[job.mode], len(taken.fresh)
        reason = f"training {version} on {rows} fresh rows"
        number = None if code is None else code.number
        if begin != "train":  # what an earlier attempt trained, with the code of then
            reason, inputs, number = f"{version}: taken up again at {begin}", {}, run.pipeline
        # Before the worker starts: a hub that dies in between begins the attempt once more.
        with self._store.whole():
            self._store.move(
                run, status="training", mode=job.mode, mode_reason=job.mode_reason, reason=reason,
                version=version, rows=rows, datasets=list(job.datasets), until=now, begin=None,
                pipeline=number, parameters=as_parameters(policy),
            )  # fmt: skip
            self._steps.begin(run.id, run.model, run.attempts, begin, inputs)
        log.info("%s: run %s trains %s on %d rows", run.model, run.id, version, rows)
        files = jobs.RunFiles(
            taken.fresh, taken.history, state, taken.rehearsal,
            self.pipelines.kept_files(run.model, code), trained, features,
        )  # fmt: skip
        jobs.prepare(folder, job, files)
        name = None if code is None else code.elsewhere
        if policy.webhook is not None and begin == "train" and (code is None or name is not None):
            pipeline.call(folder, job, policy, pipeline.hub_url(self._data, policy), name)
        else:
            self._work(run, folder, job, policy, inputs)

    def look(self, run: RunRecord, policy: TrainPolicy, now: float) -> str | None:
        """Look at a training.

        Args:
            run: in training.
            policy: as it is in force now.
            now: Unix seconds.

        Returns:
            ``None`` while it goes on or was begun once more; an empty text when there is a
            release; else why there is none.
        """
        folder, training = self.folder(run), self._running.get(run.id)
        if training is not None and training.process.running():
            return None
        if training is not None:
            self._running.pop(run.id)
            run = replace(run, peak_mb=training.process.peak_mb)
            self._store.note(run, peak_mb=run.peak_mb)
            if self._engine is not None:  # what it was is known only now
                self._store.note(run, isolation=str(training.process.isolation))
            results.take_steps(training.work, folder)
            failure = self._taken(run, folder, training)
            self._note_steps(run, training.job, training.inputs, failure)
            return failure
        done = jobs.result(folder)
        if done is not None:
            begun = self._begun(run)
            if begun is not None:  # a hub that was killed had not noted what its worker did
                job = jobs.job_of(folder)
                self._note_steps(run, job, begun.inputs, done.reason)
            return done.reason
        if pipeline.was_called(folder):
            return self._look_at_pipeline(run, policy, folder, now)
        return self._begin_again(run)

    def _note_steps(
        self, run: RunRecord, job: TrainingJob, inputs: Mapping[str, Any], failure: str
    ) -> None:
        """Record what a worker that has ended did."""
        folder = self.folder(run)
        claims = results.steps_of(folder)
        with self._store.whole():
            for record in worker_records(run, folder, job, inputs, claims, failure=failure):
                self._steps.put(record)

    def _begun(self, run: RunRecord) -> StepRecord | None:
        """Return the step of a worker that the last attempt is in, as far as is noted."""
        steps = self._steps.of_run(run.id, run.attempts)
        return next((r for r in steps if r.status == "running" and r.step in WORKER_STEPS), None)

    def stop_others(self, ids: Iterable[int]) -> None:
        """End the workers of this process whose runs are not among those that train."""
        for id_ in {*self._running} - set(ids):
            self.stop(id_)

    def stop(self, id_: int | None = None) -> None:
        """End the worker of a run, or all of this process; those are begun once more later."""
        for number in list(self._running) if id_ is None else [id_]:
            training = self._running.pop(number, None)
            if training is not None:
                training.process.kill()
                jobs.clear_work(training.folder)

    def _work(
        self,
        run: RunRecord,
        folder: Path,
        job: TrainingJob,
        policy: TrainPolicy,
        inputs: Mapping[str, Any],
    ) -> None:
        """Start a worker, and note on the run what it may do."""
        limits = ProcessLimits(policy.timeout_seconds, policy.memory_mb, folder_bytes=FOLDER_BYTES)
        # A state may come from a pipeline as well, years ago, and so may a model that was kept.
        kept = (jobs.PARENT_STATE, jobs.TRAINED)
        foreign = policy.webhook is not None or any((folder / name).exists() for name in kept)
        process, work = jobs.start(
            folder, job, self.workers, limits, foreign=foreign, engine=self._engine
        )
        self._running[run.id] = _Training(process, work, folder, job, inputs)
        bounds = f"at most {limits.memory_mb} MB for {limits.seconds:g} s"
        self._store.note(run, isolation=f"{process.isolation}; {bounds}")

    def _taken(self, run: RunRecord, folder: Path, training: _Training) -> str:
        """Take what a training left; return why there is nothing, or an empty text."""
        process = training.process
        try:
            if process.broke:
                log.warning("%s: run %s was ended: it %s", run.model, run.id, process.broke)
                with opened(training.work) as left:  # a model whose conversion took too long
                    results.take_trained(left, folder)
                return process.ended()
            done = results.take(training.work, folder, training.job)
            return process.ended() if done is None else done.reason
        except Invalid as error:
            log.warning("%s: run %s: %s", run.model, run.id, error)
            return str(error)
        finally:
            jobs.clear_work(folder)

    def _look_at_pipeline(
        self, run: RunRecord, policy: TrainPolicy, folder: Path, now: float
    ) -> str | None:
        outcome = pipeline.outcome(folder)
        # A model is there: a worker converts it, with the limits of any other training.
        if outcome is not None and not outcome.reason:
            job = jobs.job_of(folder)
            inputs = self._steps.get(run.id, "train").inputs
            if outcome.code or self.pipelines.held(run.model) is not None:
                code = self.pipelines.declared(run.model, outcome.code)
                self._store.move(run, pipeline=code.number)
                inputs = {**inputs, "code": code.digest}
            self._work(run, folder, job, policy, inputs)
            return None
        if outcome is not None:
            return f"the pipeline said: {outcome.reason}"
        waited = now - self._steps.get(run.id, "train").began_at
        late = f"the pipeline left no model within {policy.timeout_seconds:g} s"
        return late if waited > policy.timeout_seconds else None

    def _begin_again(self, run: RunRecord) -> str | None:
        """Wait for another attempt: the worker of an earlier hub process left no result."""
        jobs.clear_work(self.folder(run))
        begun = self._begun(run)
        begin = "train" if begun is None else begun.step
        self._steps.end_running(run.id, run.attempts, "interrupted", HUB_ENDED)
        done = self._steps.records(run=run.id, step=begin, status="interrupted")
        if len(done) >= ATTEMPTS:
            return (
                f"the hub was interrupted while it trained, {ATTEMPTS} times; edge-hub runs resume "
                f"{run.id} takes it up again"
            )
        # With the same rows: they were collected and checked, and others may have come since.
        again = "the hub was interrupted; once more"
        self._store.move(run, status="waiting", begin=begin, reason=again)
        return None

    def _job(
        self, run: RunRecord, policy: TrainPolicy, taken: RowsTaken, now: float,
        code: PipelineVersion | None,
    ) -> TrainingJob:  # fmt: skip
        manifest = self._registry.release(run.model, run.parent).manifest
        signature = manifest.signature
        columns = len(signature.columns)
        wanted: Mode = "stateful" if run.mode == "stateful" else "stateless"
        mode, why = mode_before(
            wanted, columns, len(taken.history.names) if taken.history is not None else None
        )
        if mode == "stateful" and not self.workers.takes_foreign():
            mode, why = "stateless", "nothing here isolates what a stored state may hold"
        held = self.pipelines.held(run.model) is not None
        return TrainingJob(
            model=run.model,
            run=run.id,
            parent=run.parent,
            mode=mode,
            mode_reason=why,
            versions={
                name: self._registry.next_version(run.model, run.parent, name)
                for name in ("stateful", "stateless")
            },
            columns=columns,
            classes=signature.classes,
            task=manifest.task,
            groups=manifest.groups,
            datasets=taken.refs,
            window=(run.since, now),
            seed=policy.seed,
            entry=policy.entry if not held or code is None else code.entry,
            command=policy.command if not held or code is None else code.command,
            path=str(Path(policy.path).absolute()) if policy.path else None,
            # A pipeline's file may hold the types that skops knows, and no code; the operator's
            # own training may be loaded as what it is.
            trust=policy.webhook is None or self.workers.settings.trust_pipelines,
            cloud=self._cloud_release(run.model),
        )

    def _cloud_release(self, model: str) -> str | None:
        cloud = self._registry.policy(model).cloud
        plan = self._plans.current(cloud) if cloud else None
        if cloud is None or plan is None:
            return None
        return str(self._registry.release(cloud, plan.serving.version).folder.resolve())
