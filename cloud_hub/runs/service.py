"""Runs: from a trigger that fired to a candidate on the fleet.

``waiting`` (for fresh labelled rows) → ``training`` → ``experiment`` → ``promoted``; or ``failed``
(training), ``rejected`` (offline gate), ``held`` (takes other inputs: a person must publish it),
``rolled_back`` (experiment), ``concluded`` (it won, a person promotes it), ``cancelled``. One run a
model at a time: further firings are added to its causes. The state is in the database, so a run
outlives the hub's process: a training that the hub's death interrupted is begun once more. Whatever
happens here, the serving version goes on serving.
"""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.database.documents import as_document
from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.runs import jobs
from cloud_hub.runs.evaluation import evaluate_apart
from cloud_hub.runs.gate import as_table, failures
from edge_sdk.errors import EdgeError
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.experiments.service import Experiments
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.registry.service import Registry
    from cloud_hub.runs.offline import OfflineGate
    from cloud_hub.runs.store import RunCause, RunRecord, RunStore
    from cloud_hub.runs.training import TrainingRunner
    from cloud_hub.telemetry.service import Telemetry

log = logging.getLogger(__name__)

ACTOR: Final = "hub"
OVERRIDABLE: Final = ("rejected", "held")


class Runs:
    """Runs of all models."""

    def __init__(
        self,
        store: RunStore,
        training: TrainingRunner,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        telemetry: Telemetry,
        experiments: Experiments,
        *,
        offline_gate: OfflineGate,
        slots: int = 1,
    ) -> None:
        self._store = store
        self._training = training
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._telemetry = telemetry
        self._experiments = experiments
        self._slots = slots
        self.offline_gate = offline_gate

    def records(self, model: str | None = None) -> list[RunRecord]:
        """Return all runs of one model or of all, oldest first."""
        return self._store.records(model)

    def get(self, id_: int) -> RunRecord:
        """Return one run; raises NotFound."""
        return self._store.get(id_)

    def times(self, model: str) -> list[float]:
        """Return when triggers started runs by themselves, Unix seconds."""
        return [r.created_at for r in self.records(model) if r.causes[0].actor == ACTOR]

    def can_train(self, model: str) -> bool:
        """Return whether the policy says how to train."""
        return self._registry.policy(model).train is not None

    def request(
        self,
        model: str,
        cause: RunCause,
        *,
        mode: str | None = None,
        since: float | None = None,
    ) -> RunRecord:
        """Ask for a run; joins the one that is active.

        Args:
            model: to retrain.
            cause: a trigger's firing, or the person who asks.
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
        run, new = self._store.join_or_add(
            model,
            cause,
            mode=mode or policy.mode,
            parent=plan.serving.version,
            since=since or 0.0,
            reason="waiting for fresh labelled rows",
        )
        done = "run requested" if new else "run joined"
        detail = {"run": run.id, "cause": as_document(cause)}
        self._audit.record(ACTOR, done, model, detail)
        if new:
            log.info("%s: run %s requested (%s)", model, run.id, cause.trigger or cause.kind)
        return run

    def cancel(self, id_: int, *, actor: str, reason: str) -> RunRecord:
        """End a run that waits or trains.

        Args:
            id_: number of the run.
            actor: the person.
            reason: stays on the run's record.

        Raises:
            NotFound: no such run.
            Conflict: it is neither ``waiting`` nor ``training``.
        """
        run = self.get(id_)
        if run.status not in ("waiting", "training"):
            raise Conflict(f"run {id_}: is {run.status}; only one that waits or trains is ended")
        self._training.stop(id_)
        self._end(run, "cancelled", f"{actor}: {reason}")
        return self.get(id_)

    def override(self, id_: int, *, actor: str, reason: str) -> RunRecord:
        """Publish a candidate that the gate refused.

        Args:
            id_: number of the run.
            actor: the person.
            reason: stays on the version's record.

        Raises:
            NotFound: no such run.
            Conflict: it is not ``rejected`` or ``held``.
        """
        run = self.get(id_)
        if run.status not in OVERRIDABLE:
            raise Conflict(f"run {id_}: is {run.status}, not one of {OVERRIDABLE}")
        detail = {"run": id_, "reason": reason, "gate": as_table(run.gate)}
        self._audit.record(actor, "gate overridden", run.model, detail)
        self._publish(run, actor=f"run {id_}, {actor}", override=reason)
        if run.status == "held":
            self._end(run, "held", f"published by {actor}: {reason}; promote it by hand")
        return self.get(id_)

    def log(self, id_: int) -> str:
        """Return the worker's output in its last attempt; raises NotFound."""
        path = self.folder(id_) / "log.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def folder(self, id_: int) -> Path:
        """Return the folder of the last attempt; raises NotFound."""
        return self._training.folder(self.get(id_))

    def tick(self, now: float) -> None:
        """Move every active run on by one step, if it can."""
        steps = {"waiting": self._wait, "training": self._train, "experiment": self._follow}
        for run in self._store.records(active=True):
            try:
                steps[run.status](run, now)
            except (HubFault, EdgeError) as error:  # this run ends, the others go on
                self._end(self.get(run.id), "failed", str(error))

    def stop(self) -> None:
        """End the workers of this process; their runs are begun once more later."""
        self._training.stop()

    def _wait(self, run: RunRecord, now: float) -> None:
        policy = self._train_policy(run.model)
        fresh = self._telemetry.samples(run.model, since=run.since)
        rows = len(fresh) if fresh is not None else 0
        plan = self._plans.current(run.model)
        # One experiment at a time: a candidate that is trained now would wait, and age.
        if plan is not None and plan.experiment is not None:
            self._note_reason(run, f"waiting for the end of {plan.experiment.id}")
        elif rows < policy.minimum_samples:
            self._wait_for_rows(run, policy, rows, now)
        elif self._training.busy() >= self._slots:
            self._note_reason(run, "waiting for another training to end")
        else:
            self._training.start(run, policy, fresh, now)

    def _wait_for_rows(self, run: RunRecord, policy: TrainPolicy, rows: int, now: float) -> None:
        needed = policy.minimum_samples
        if now - run.created_at > policy.wait_seconds:
            self._end(run, "failed", f"only {rows} of {needed} fresh rows were shared")
        else:
            self._note_reason(run, f"{rows} of {needed} fresh rows")

    def _train(self, run: RunRecord, now: float) -> None:
        failure = self._training.look(run, self._train_policy(run.model), now)
        if failure is None:
            return
        if failure:
            self._end(run, "failed", failure)
            return
        result = jobs.result(self._training.folder(run))
        assert result is not None
        candidate = self._candidate(run)
        version = candidate.manifest.version
        self._store.note(run, mode=result.mode, mode_reason=result.mode_reason, version=version)
        folder = self._training.folder(run)
        self._training.features.note_trained(run.model, version, folder, result.features)
        self._evaluate(self.get(run.id), candidate)

    def _evaluate(self, run: RunRecord, candidate: Release) -> None:
        parent = self._registry.release(run.model, run.parent).manifest.signature
        takes = candidate.manifest.signature
        # Devices send the inputs of the parent: a canary of other inputs would fail on all of them.
        if (takes.inputs, takes.columns) != (parent.inputs, parent.columns):
            why = f"{run.version} takes other inputs than {run.parent}, so devices must change too"
            self._end(run, "held", f"{why}; publish it with edge-hub runs override {run.id}")
            return
        held = jobs.held_rows(self._training.folder(run))
        run_apart = functools.partial(evaluate_apart, self._training.workers)
        checks = self.offline_gate.check(run.model, candidate, held, since=run.since, run=run_apart)
        self._store.note(run, gate=as_table(checks))
        failed = failures(checks)
        if failed:
            self._end(run, "rejected", failed)
        else:
            self._publish(run, actor=f"run {run.id}")

    def _publish(self, run: RunRecord, *, actor: str, override: str | None = None) -> None:
        """Publish the candidate; start the experiment, unless it takes other inputs."""
        path = self._training.folder(run) / "next.state"
        state = path.read_bytes() if path.exists() else None
        self._registry.publish(
            self._candidate(run), actor=actor, training_state=state, gated=True, override=override
        )
        if run.status == "held":
            return
        assert run.version is not None
        # In one transaction, or a hub that is killed here would try the candidate a second time.
        with self._store.whole():
            trial = self._experiments.start(run.model, run.version, actor=actor)
            self._store.note(
                run, status="experiment", experiment=trial.id, reason=f"experiment {trial.id}"
            )

    def _candidate(self, run: RunRecord) -> Release:
        return Release.open(self._training.folder(run) / "release")

    def _follow(self, run: RunRecord, now: float) -> None:
        assert run.experiment is not None
        trial = self._experiments.get(run.experiment)
        if not trial.open:
            ends = {"promoted": "promoted", "concluded": "concluded"}
            self._end(run, ends.get(trial.status, "rolled_back"), trial.reason)

    def _train_policy(self, model: str) -> TrainPolicy:
        policy = self._registry.policy(model).train
        if policy is None:
            raise Conflict(f"{model}: its policy has no train section; see edge-hub policy")
        return policy

    def _note_reason(self, run: RunRecord, reason: str) -> None:
        if reason != run.reason:  # a tick that changes nothing writes nothing
            self._store.note(run, reason=reason)

    def _end(self, run: RunRecord, status: str, reason: str) -> None:
        self._store.note(run, status=status, reason=reason)
        detail = {"run": run.id, "version": run.version, "reason": reason}
        self._audit.record(ACTOR, f"run {status}", run.model, detail)
        log.info("%s: run %s %s: %s", run.model, run.id, status, reason)
