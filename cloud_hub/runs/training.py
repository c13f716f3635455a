"""Attempts: from a waiting run to a release or a reason, in a process or a pipeline."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.registry.dataset import Dataset
from cloud_hub.registry.service import Registry
from cloud_hub.runs import jobs, pipeline, results
from cloud_hub.runs.continuity import mode_before
from cloud_hub.runs.jobs import TrainingJob
from edge_sdk.contract.codec import decode

if TYPE_CHECKING:
    from cloud_hub.features.sets import FeatureSets
    from cloud_hub.isolation.workers import WorkerProcess, Workers
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.runs.context import Mode
    from cloud_hub.runs.store import RunRecord, RunStore

log = logging.getLogger(__name__)

FOLDER_BYTES: Final = 16 << 30
"""Bytes that a training may have in its folder."""

ATTEMPTS: Final = 2
"""Attempts at a training that is interrupted by the end of the hub, not by its own."""


@dataclass(frozen=True)
class _Training:
    """A worker with its folder, the folder of its attempt, and its job."""

    process: WorkerProcess
    work: Path
    folder: Path
    job: TrainingJob


class TrainingRunner:
    """Trainings of all models; their folders are below ``data/runs``."""

    def __init__(
        self,
        data: Path,
        store: RunStore,
        registry: Registry,
        plans: Plans,
        workers: Workers,
        features: FeatureSets,
    ) -> None:
        self._data = data
        self._store = store
        self._registry = registry
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
        """Begin the next attempt.

        Args:
            run: waiting.
            policy: how to train.
            fresh: labelled rows that devices shared; ``None`` where a training brings its own.
            now: Unix seconds.

        Raises:
            HubFault: a pipeline did not take it, or nothing here isolates what it would send.
        """
        if policy.webhook is not None and not self.workers.takes_foreign():
            raise HubFault(
                "train: what a pipeline sends is not loaded here, because nothing on this machine "
                f"keeps it from the hub's secrets ({self.workers.isolation}); see docs/PIPELINES.md"
            )
        job = self._job(run, policy, now)
        if fresh is None:
            fresh = Dataset(np.empty((0, job.columns), np.float32), np.empty(0, np.int64))
        state = None
        if self.workers.takes_foreign():
            state = self._registry.training_state(run.model, run.parent)
        history = self._registry.dataset(run.model, "train")
        attempt = run.attempts + 1
        version = job.versions[job.mode]
        # Before the worker starts: a hub that dies in between begins the attempt once more.
        self._store.note(
            run,
            status="training",
            attempts=attempt,
            mode=job.mode,
            mode_reason=job.mode_reason,
            version=version,
            rows=len(fresh),
            until=now,
            reason=f"training {version} on {len(fresh)} fresh rows",
        )
        log.info("%s: run %s trains %s on %d rows", run.model, run.id, version, len(fresh))
        folder = self.folder(self._store.get(run.id))
        self.features.write_snapshot(run.model, folder, now)
        jobs.prepare(folder, job, fresh, history, state)
        if policy.webhook is not None:
            pipeline.call(folder, job, policy, policy.reach or self._address())
        else:
            self._work(run, folder, job, policy)

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
            return self._taken(run, folder, training)
        done = jobs.result(folder)
        if done is not None:
            return done.reason
        if policy.webhook is not None:
            return self._look_at_pipeline(run, policy, folder, now)
        return self._begin_again(run)

    def stop(self, id_: int | None = None) -> None:
        """End the worker of a run, or all of this process; those are begun once more later."""
        for number in list(self._running) if id_ is None else [id_]:
            training = self._running.pop(number, None)
            if training is not None:
                training.process.kill()
                jobs.clear_work(training.folder)

    def _work(self, run: RunRecord, folder: Path, job: TrainingJob, policy: TrainPolicy) -> None:
        """Start a worker, and note on the run what it may do."""
        limits = ProcessLimits(policy.timeout_seconds, policy.memory_mb, folder_bytes=FOLDER_BYTES)
        # A state may come from a pipeline as well, years ago.
        foreign = policy.webhook is not None or (folder / "parent.state").exists()
        process, work = jobs.start(folder, job, self.workers, limits, foreign=foreign)
        self._running[run.id] = _Training(process, work, folder, job)
        bounds = f"at most {limits.memory_mb} MB for {limits.seconds:g} s"
        self._store.note(run, isolation=f"{process.isolation}; {bounds}")

    def _taken(self, run: RunRecord, folder: Path, training: _Training) -> str:
        """Take what a training left; return why there is nothing, or an empty text."""
        process = training.process
        try:
            if process.broke:
                log.warning("%s: run %s was ended: it %s", run.model, run.id, process.broke)
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
            self._work(run, folder, job, policy)
            return None
        if outcome is not None:
            return f"the pipeline said: {outcome.reason}"
        waited = now - (run.until or now)
        late = f"the pipeline left no model within {policy.timeout_seconds:g} s"
        return late if waited > policy.timeout_seconds else None

    def _begin_again(self, run: RunRecord) -> str | None:
        """Wait for another attempt: the worker of an earlier hub process left no result."""
        jobs.clear_work(self.folder(run))
        if run.attempts >= ATTEMPTS:
            return f"the hub was interrupted while it trained, {ATTEMPTS} times"
        self._store.note(run, status="waiting", reason="the hub was interrupted; once more")
        return None

    def _job(self, run: RunRecord, policy: TrainPolicy, now: float) -> TrainingJob:
        manifest = self._registry.release(run.model, run.parent).manifest
        signature = manifest.signature
        stored = self._registry.dataset(run.model, "train")
        columns = len(signature.columns)
        wanted: Mode = "stateful" if run.mode == "stateful" else "stateless"
        mode, why = mode_before(
            wanted, columns, stored.rows.shape[1] if stored is not None else None
        )
        if mode == "stateful" and not self.workers.takes_foreign():
            mode, why = "stateless", "nothing here isolates what a stored state may hold"
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
            window=(run.since, now),
            seed=policy.seed,
            entry=policy.entry,
            command=policy.command,
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
