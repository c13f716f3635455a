"""Attempts: from a waiting run to a release or a reason, in a process or a pipeline."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import HubFault, Invalid, NotFound
from cloud_hub.features.snapshot import digests_in, is_whole
from cloud_hub.isolation.handback import opened
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.registry.service import Registry
from cloud_hub.runs import jobs, pipeline, results
from cloud_hub.runs.comparison import as_parameters
from cloud_hub.runs.continuity import mode_before
from cloud_hub.runs.jobs import TrainingJob
from cloud_hub.runs.repetition import rehearsal_of, repeated_job
from cloud_hub.runs.steps.names import StepName, steps_before
from cloud_hub.runs.steps.store import StepRecord
from cloud_hub.runs.worker_steps import train_inputs, worker_records
from edge_sdk.contract.codec import decode
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from cloud_hub.data.dataset import Dataset
    from cloud_hub.features.sets import FeatureSets
    from cloud_hub.isolation.workers import WorkerProcess, Workers
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.runs.code.service import Pipelines, PipelineVersion
    from cloud_hub.runs.context import Mode
    from cloud_hub.runs.rows import RowsTaken, RunRows
    from cloud_hub.runs.steps.store import StepStore
    from cloud_hub.runs.store import RunRecord, RunStore

log = logging.getLogger(__name__)

FOLDER_BYTES: Final = 16 << 30
"""Bytes that a training may have in its folder."""

_BEGINS: Final[Mapping[StepName, StepName]] = {"evaluate": "train", "certify": "convert"}
"""Steps that are taken again together with the one before them."""

ATTEMPTS: Final = 2
"""Attempts at a training that is interrupted by the end of the hub, not by its own."""


@dataclass(frozen=True)
class _Training:
    """A worker with its folder, the folder of its attempt, and its job."""

    process: WorkerProcess
    work: Path
    folder: Path
    job: TrainingJob
    inputs: Mapping[str, Any]


class TrainingRunner:
    """Trainings of all models; their folders are below ``data/runs``."""

    def __init__(
        self, data: Path, store: RunStore, steps: StepStore, registry: Registry, rows: RunRows,
        pipelines: Pipelines, plans: Plans, workers: Workers, features: FeatureSets,
    ) -> None:  # fmt: skip
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
        return self._data / "runs" / str(run.id) / f"attempt-{run.attempts}"

    def busy(self) -> int:
        """Return the number of workers that run in this process."""
        return len(self._running)

    def start(self, run: RunRecord, policy: TrainPolicy, fresh: Dataset | None, now: float) -> None:
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
        self._check_foreign(policy)
        run = self._next_attempt(run)
        taken = self.rows.collect(run, run.attempts, policy, fresh)
        self.rows.validate(run, run.attempts, policy, taken)
        self._train(run, policy, taken, now)

    def resume(self, run: RunRecord, policy: TrainPolicy, begin: StepName) -> None:
        """Begin the next attempt at a later step, with what an earlier attempt made.

        Args:
            run: waiting to be taken up.
            policy: how to train.
            begin: ``validate`` or a step of a worker.

        Raises:
            HubFault: see :meth:`start`; rows were deleted.
            NotFound: the earlier attempt left no trained model.
        """
        self._check_foreign(policy)
        before = self.folder(run)
        taken = self.rows.again(run, policy.rehearsal)
        # An evaluation takes the model as it was in memory, a certification the whole release.
        step = _BEGINS.get(begin, begin)
        if step == "convert" and not (before / jobs.TRAINED).exists():
            raise NotFound(f"run {run.id}: its training left no model to convert; --from train")
        earlier = [r for r in self._steps.of_run(run.id) if r.step in steps_before(step)]
        run = self._next_attempt(run)
        self._steps.reuse(run.id, run.attempts, earlier)
        if begin == "validate":
            self.rows.validate(run, run.attempts, policy, taken)
            step = "train"
        self._train(run, policy, taken, run.until or run.created_at, step, before)

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
        job = decode(TrainingJob, (folder / "job.json").read_bytes(), limit=1 << 20)
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
        self._store.note(run, status="training", reason=f"repeating run {original.id}")
        zipped = None if in_place else self.pipelines.files(code)
        jobs.prepare(
            self.folder(run), job,
            jobs.RunFiles(taken.fresh, taken.history, state, taken.rehearsal, zipped, None, folder),
        )  # fmt: skip
        self._work(run, self.folder(run), job, policy, {})

    def _check_foreign(self, policy: TrainPolicy) -> None:
        if policy.webhook is not None and not self.workers.takes_foreign():
            raise HubFault(
                "train: what a pipeline sends is not loaded here, because nothing on this machine "
                f"keeps it from the hub's secrets ({self.workers.isolation}); see docs/PIPELINES.md"
            )

    def _next_attempt(self, run: RunRecord) -> RunRecord:
        # Before anything of it is done: a hub that dies in between must not use a folder twice.
        self._store.note(run, attempts=run.attempts + 1)
        return self._store.get(run.id)

    def _train(
        self,
        run: RunRecord,
        policy: TrainPolicy,
        taken: RowsTaken,
        now: float,
        begin: StepName = "train",
        before: Path | None = None,
    ) -> None:
        """Start the worker, or call the pipeline, of an attempt whose rows are there."""
        code = self.pipelines.current(run.model, policy)
        job, state = self._job(run, policy, taken, now, code), None
        job = replace(job, begin=begin)
        if self.workers.takes_foreign():
            state = self._registry.training_state(run.model, run.parent)
        folder = self.folder(run)
        # Those of the run's beginning, as its rows are: the store has moved on since.
        features = before if before is not None and is_whole(before) else None
        if features is None:
            self.features.write_snapshot(run.model, folder, time.time())
        inputs = train_inputs(
            job, taken, parent=self._registry.release(run.model, run.parent).digest, state=state,
            code=code, rehearsal=asdict(policy.rehearsal), features=digests_in(features or folder),
        )  # fmt: skip
        version, rows = job.versions[job.mode], len(taken.fresh)
        # Before the worker starts: a hub that dies in between begins the attempt once more.
        self._store.note(
            run, status="training", mode=job.mode, mode_reason=job.mode_reason, version=version,
            rows=rows, datasets=list(job.datasets), until=now,
            pipeline=code.number if code is not None else None, parameters=as_parameters(policy),
            begin=None,
            reason=f"training {version} on {rows} fresh rows" if begin == "train"
            else f"{version}: taken up again at {begin}",
        )  # fmt: skip
        log.info("%s: run %s trains %s on %d rows", run.model, run.id, version, rows)
        self._steps.put(
            StepRecord(run.id, run.model, run.attempts, begin, "running", time.time(),
                       inputs=inputs if begin == "train" else {})
        )  # fmt: skip
        files = jobs.RunFiles(
            taken.fresh, taken.history, state, taken.rehearsal, self._kept_code(run, code),
            trained=before if begin == "convert" else None, features=features,
        )  # fmt: skip
        jobs.prepare(folder, job, files)
        if policy.webhook is not None and begin == "train" and code is None:
            pipeline.call(folder, job, policy, policy.reach or self._address())
        else:
            self._work(run, folder, job, policy, inputs)

    def _kept_code(self, run: RunRecord, code: PipelineVersion | None) -> bytes | None:
        """Return the files of a version that a model is held at; those in place need no copy."""
        held = self.pipelines.held(run.model)
        return None if held is None or code is None else self.pipelines.files(code)

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
            self._store.note(run, peak_mb=training.process.peak_mb)
            claims = results.take_steps(training.work)
            failure = self._taken(run, folder, training)
            records = worker_records(
                run, folder, training.job, training.inputs, claims,
                peak_mb=training.process.peak_mb, failure=failure,
            )  # fmt: skip
            for record in records:
                self._steps.put(record)
            return failure
        done = jobs.result(folder)
        if done is not None:
            return done.reason
        if pipeline.was_called(folder):
            return self._look_at_pipeline(run, policy, folder, now)
        return self._begin_again(run)

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
        process, work = jobs.start(folder, job, self.workers, limits, foreign=foreign)
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
            job = decode(TrainingJob, (folder / "job.json").read_bytes(), limit=1 << 20)
            self._work(run, folder, job, policy, self._steps.get(run.id, "train").inputs)
            return None
        if outcome is not None:
            return f"the pipeline said: {outcome.reason}"
        waited = now - (run.until or now)
        late = f"the pipeline left no model within {policy.timeout_seconds:g} s"
        return late if waited > policy.timeout_seconds else None

    def _begin_again(self, run: RunRecord) -> str | None:
        """Wait for another attempt: the worker of an earlier hub process left no result."""
        jobs.clear_work(self.folder(run))
        self._steps.end_running(run.id, run.attempts, "interrupted", "the hub ended")
        done = self._steps.records(run=run.id, status="interrupted")
        if len(done) >= ATTEMPTS:
            return (
                f"the hub was interrupted while it trained, {ATTEMPTS} times; edge-hub runs resume "
                f"{run.id} takes it up again"
            )
        # With the same rows: they were collected and checked, and others may have come since.
        path = self.folder(run) / "job.json"  # not there if the hub ended while it was prepared
        begin = decode(TrainingJob, path.read_bytes(), limit=1 << 20).begin if path.exists() else ""
        again = {"status": "waiting", "begin": begin or "train"}
        self._store.note(run, **again, reason="the hub was interrupted; once more")
        return None

    def _job(
        self,
        run: RunRecord,
        policy: TrainPolicy,
        taken: RowsTaken,
        now: float,
        code: PipelineVersion | None,
    ) -> TrainingJob:
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

    def _address(self) -> str:
        path = self._data / "hub.url"
        if not path.exists():
            raise HubFault("train: the hub has no address yet; say train.reach in the policy")
        return path.read_text().strip()
