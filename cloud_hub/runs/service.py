"""Runs: from a firing trigger to a candidate on the fleet.

``waiting`` (for fresh labelled rows) → ``training`` → ``canary`` → ``promoted``; or ``failed``
(training), ``rejected`` (offline gate), ``rolled_back`` (canary). One run a model at a time:
further firings are added to its causes. The state is in the database, so a run outlives the hub's
process: a training that the hub's death interrupted is started once more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, insert, select, update

from cloud_hub.audit import Audit
from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.experiments.service import Experiments
from cloud_hub.plans.service import Plans
from cloud_hub.policy import TrainPolicy
from cloud_hub.registry.service import Dataset, Registry
from cloud_hub.runs import jobs
from cloud_hub.runs.gate import as_table, failures
from cloud_hub.runs.offline import OfflineGate
from cloud_hub.runs.tables import runs
from cloud_hub.telemetry.service import Telemetry
from edge_sdk.errors import EdgeError
from edge_sdk.release import Release

ACTIVE: Final = ("waiting", "training", "canary")
ATTEMPTS: Final = 2
ACTOR: Final = "hub"


@dataclass(frozen=True)
class RunRecord:
    """One run. ``since`` bounds its fresh rows; ``gate`` is the offline gate's table."""

    id: int
    model: str
    mode: str
    parent: str
    causes: list[dict[str, Any]]
    status: str
    since: float
    created_at: float
    updated_at: float
    attempts: int
    rows: int
    version: str | None
    experiment: str | None
    gate: list[dict[str, Any]]
    reason: str


class Runs:
    """Runs of all models; worker folders are below ``data/runs``."""

    def __init__(
        self,
        data: Path,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        telemetry: Telemetry,
        experiments: Experiments,
    ) -> None:
        self._folder = data / "runs"
        self._engine = engine
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._telemetry = telemetry
        self._experiments = experiments
        self.offline_gate = OfflineGate(registry, plans, telemetry)
        self._workers: dict[int, jobs.Worker] = {}

    def records(self, model: str | None = None) -> list[RunRecord]:
        """All runs, oldest first."""
        query = select(runs).order_by(runs.c.id)
        if model is not None:
            query = query.where(runs.c.model == model)
        with self._engine.connect() as db:
            return [RunRecord(**row) for row in db.execute(query).mappings()]

    def request(
        self,
        model: str,
        cause: dict[str, Any],
        *,
        mode: str | None = None,
        since: float | None = None,
    ) -> RunRecord:
        """Ask for a run; joins the one that is active.

        Args:
            model: to retrain.
            cause: why, as plain JSON; a trigger's firing, or who asked.
            mode: ``stateful`` or ``stateless``; default as the policy says.
            since: rows predicted after it count as fresh, Unix seconds.

        Raises:
            Conflict: the policy has no ``train``.
            NotFound: nothing serves yet.
        """
        policy = self._train_policy(model)
        plan = self._plans.current(model)
        if plan is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        active = [run for run in self.records(model) if run.status in ACTIVE]
        if active:
            run = active[0]
            self._note(run, causes=[*run.causes, cause])
            return self.get(run.id)
        now = time.time()
        row = {"model": model, "mode": mode or policy.mode, "parent": plan.serving.version}
        with self._engine.begin() as db:
            query = insert(runs).values(
                **row,
                causes=[cause],
                status="waiting",
                since=since or 0.0,
                created_at=now,
                updated_at=now,
                gate=[],
                reason="waiting for fresh labelled rows",
            )
            key = db.execute(query).inserted_primary_key
        assert key is not None
        self._audit.record(ACTOR, "run requested", model, {"run": key[0], "cause": cause})
        return self.get(int(key[0]))

    def times(self, model: str) -> list[float]:
        """When triggers started runs by themselves."""
        return [r.created_at for r in self.records(model) if r.causes[0].get("actor") == ACTOR]

    def can_train(self, model: str) -> bool:
        """Whether the policy says how to train."""
        return self._registry.policy(model).train is not None

    def get(self, id_: int) -> RunRecord:
        """One run; raises NotFound."""
        found = [run for run in self.records() if run.id == id_]
        if not found:
            raise NotFound(f"run {id_}: not found")
        return found[0]

    def log(self, id_: int) -> str:
        """What the worker printed in its last attempt."""
        path = self._attempt(self.get(id_)) / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def tick(self, now: float) -> None:
        """Move every active run on by one step, if it can."""
        steps = {"waiting": self._wait, "training": self._train, "canary": self._follow}
        for run in self.records():
            if run.status in steps:
                try:
                    steps[run.status](run, now)
                except (HubFault, EdgeError) as error:
                    self._end(run, "failed", str(error))

    def stop(self) -> None:
        """End the workers of this process; their runs are started once more later."""
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()

    def _wait(self, run: RunRecord, now: float) -> None:
        policy = self._train_policy(run.model)
        fresh = self._telemetry.samples(run.model, since=run.since)
        have = len(fresh) if fresh is not None else 0
        plan = self._plans.current(run.model)
        if plan is not None and plan.experiment is not None:
            self._note(run, reason=f"waiting for the end of {plan.experiment.id}")
        elif have >= policy.minimum_samples:
            assert fresh is not None
            self._start(run, policy, fresh)
        elif now - run.created_at > policy.wait_seconds:
            self._end(run, "failed", f"only {have} of {policy.minimum_samples} fresh rows came")
        elif have != run.rows:
            self._note(run, rows=have, reason=f"{have} of {policy.minimum_samples} fresh rows")

    def _start(self, run: RunRecord, policy: TrainPolicy, fresh: Dataset) -> None:
        version = self._registry.next_version(run.model, run.parent, run.mode)
        job = jobs.Job(
            model=run.model,
            version=version,
            parent=run.parent,
            mode=run.mode,
            entry=policy.entry,
            path=policy.path,
            seed=policy.seed,
            cloud=self._cloud_release(run.model),
        )
        attempt = run.attempts + 1
        folder = self._folder / str(run.id) / f"attempt-{attempt}"
        state = self._registry.training_state(run.model, run.parent)
        history = self._registry.dataset(run.model, "train")
        jobs.prepare(folder, job, fresh, history, state)
        self._note(
            run,
            status="training",
            attempts=attempt,
            version=version,
            rows=len(fresh),
            reason=f"training {version} on {len(fresh)} fresh rows",
        )
        self._workers[run.id] = jobs.Worker(folder, policy.timeout_seconds)

    def _train(self, run: RunRecord, now: float) -> None:
        worker = self._workers.get(run.id)
        folder = self._attempt(run)
        done = jobs.result(folder)
        if done is None and worker is not None and worker.running():
            if worker.overdue():
                self._workers.pop(run.id).kill()
                self._end(run, "failed", "training took longer than the policy allows")
            return
        if worker is not None:
            self._workers.pop(run.id).kill()
        if done is None:
            self._try_again(run)
        elif not done["ok"]:
            self._end(run, "failed", done["reason"])
        else:
            self._evaluate(run, folder)

    def _try_again(self, run: RunRecord) -> None:
        """The worker is gone without a result: the hub was killed, or the worker was."""
        if run.attempts >= ATTEMPTS:
            self._end(run, "failed", f"the worker ended without a result, {ATTEMPTS} times")
        else:
            self._note(run, status="waiting", reason="the worker was interrupted; once more")

    def _evaluate(self, run: RunRecord, folder: Path) -> None:
        candidate = Release.open(folder / "release")
        checks = self.offline_gate.check(run.model, candidate, jobs.held_rows(folder))
        self._note(run, gate=as_table(checks))
        said = failures(checks)
        if said:
            self._end(run, "rejected", said)
            return
        state = (folder / "state.pkl").read_bytes()
        self._registry.publish(candidate, actor=f"run {run.id}", training_state=state, gated=True)
        assert run.version is not None
        trial = self._experiments.start(run.model, run.version, actor=f"run {run.id}")
        self._note(run, status="canary", experiment=trial.id, reason=f"canary {trial.id}")

    def _follow(self, run: RunRecord, now: float) -> None:
        assert run.experiment is not None
        trial = self._experiments.get(run.experiment)
        if trial.status == "promoted":
            self._end(run, "promoted", trial.reason)
        elif trial.status in ("aborted", "stopped"):
            self._end(run, "rolled_back", trial.reason)

    def _cloud_release(self, model: str) -> str | None:
        cloud = self._registry.policy(model).cloud
        plan = self._plans.current(cloud) if cloud else None
        if cloud is None or plan is None:
            return None
        return str(self._registry.release(cloud, plan.serving.version).folder.resolve())

    def _train_policy(self, model: str) -> TrainPolicy:
        policy = self._registry.policy(model).train
        if policy is None:
            raise Conflict(f"{model}: its policy has no train section; see edge-hub policy")
        return policy

    def _attempt(self, run: RunRecord) -> Path:
        return self._folder / str(run.id) / f"attempt-{run.attempts}"

    def _end(self, run: RunRecord, status: str, reason: str) -> None:
        self._note(run, status=status, reason=reason)
        detail = {"run": run.id, "version": run.version, "reason": reason}
        self._audit.record(ACTOR, f"run {status}", run.model, detail)

    def _note(self, run: RunRecord, **values: Any) -> None:
        change = update(runs).where(runs.c.id == run.id)
        with self._engine.begin() as db:
            db.execute(change.values(**values, updated_at=time.time()))
