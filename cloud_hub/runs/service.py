"""Runs: from a trigger that fired to a candidate on the fleet.

``waiting`` (for fresh labelled rows) → ``training`` → ``experiment`` → ``promoted``; or ``failed``
(training), ``rejected`` (offline gate), ``held`` (takes other inputs: a person must publish it),
``rolled_back`` (experiment), ``concluded`` (it won, a person promotes it), ``cancelled``. One run a
model at a time: further firings are added to its causes. The state is in the database, so a run
outlives the hub's process: a training that the hub's death interrupted is begun once more. A run
that has ended badly can be taken up again at a step; ``repeated`` and ``differs`` end a run that
made the bytes of another one once more. Whatever happens here, the serving version goes on serving.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.database.documents import as_document
from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.runs import jobs
from cloud_hub.runs.evaluation import evaluate_apart
from cloud_hub.runs.gate import Check, as_table, failures
from cloud_hub.runs.repetition import compared_bytes
from cloud_hub.runs.steps.names import WORKER_STEPS, StepName, step_of
from cloud_hub.runs.steps.recorder import log_of
from cloud_hub.runs.steps.resuming import check_parent, first_step, reason_of
from cloud_hub.runs.store import ACTIVE
from cloud_hub.triggers.facts import StartedRun
from edge_sdk.errors import EdgeError
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from cloud_hub.data.validation.origins import CappedRows
    from cloud_hub.database.audit import Audit
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.experiments.service import Experiments
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.registry.service import Registry
    from cloud_hub.runs.offline import OfflineGate
    from cloud_hub.runs.past import RunChanges
    from cloud_hub.runs.rare_days import RunDays
    from cloud_hub.runs.steps.store import StepStore
    from cloud_hub.runs.store import RunCause, RunRecord, RunStore
    from cloud_hub.runs.training import TrainingRunner

log = logging.getLogger(__name__)

ACTOR: Final = "hub"
OVERRIDABLE: Final = ("rejected", "held")


class Runs:
    """Runs of all models."""

    def __init__(
        self,
        store: RunStore,
        steps: StepStore,
        training: TrainingRunner,
        audit: Audit,
        registry: Registry,
        datasets: Datasets,
        plans: Plans,
        experiments: Experiments,
        *,
        days: RunDays,
        changes: RunChanges,
        offline_gate: OfflineGate,
        slots: int = 1,
        published: Callable[[str, str], None] = lambda model, version: None,
    ) -> None:
        self._store = store
        self.steps = steps
        self._training = training
        self._audit, self._registry, self._datasets = audit, registry, datasets
        self._plans = plans
        self._experiments = experiments
        self._days = days
        self._changes = changes
        self._slots = slots
        # Told of each version that a run made, before any device gets it; raises nothing.
        self._published = published
        self.offline_gate = offline_gate

    def records(self, model: str | None = None, *, active: bool = False) -> list[RunRecord]:
        """Return all runs of one model or of all, oldest first; or those that have not ended."""
        return self._store.records(model, active=active)

    def get(self, id_: int) -> RunRecord:
        """Return one run; raises NotFound."""
        return self._store.get(id_)

    def started(self, model: str) -> list[StartedRun]:
        """Return the runs that triggers started by themselves."""
        by_itself = (r for r in self.records(model) if r.causes[0].actor == ACTOR)
        return [StartedRun(r.created_at, r.causes[0].kind) for r in by_itself]

    def busy(self, model: str) -> bool:
        """Return whether a run of a model is active."""
        return bool(self._store.records(model, active=True))

    def can_train(self, model: str) -> bool:
        """Return whether the policy says how to train."""
        return self._registry.policy(model).train is not None

    def request(
        self, model: str, cause: RunCause, *, mode: str | None = None, since: float | None = None
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
        self._end(run, "cancelled", f"{actor}: {reason}")
        self._training.stop(id_)  # a worker of another process of the hub ends with its next tick
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

    def log(self, id_: int, step: StepName | None = None) -> str:
        """Return the worker's output in its last attempt, or the lines of one step.

        Raises:
            NotFound: no such run, or it has not taken the step.
        """
        path = self.folder(id_) / "log.txt"
        text = path.read_text(errors="replace") if path.exists() else ""
        if step is None:
            return text
        if step in WORKER_STEPS:
            return "\n".join(log_of(step, text.splitlines()))
        return self.steps.get(id_, step).log

    def folder(self, id_: int) -> Path:
        """Return the folder of the last attempt; raises NotFound."""
        return self._training.folder(self.get(id_))

    def tick(self, now: float) -> None:
        """Move every active run on by one step, if it can."""
        steps = {"waiting": self._wait, "training": self._train, "experiment": self._follow}
        active = self._store.records(active=True)
        # Those that another process of the hub cancelled: they would hold their slots for ever.
        self._training.stop_others(run.id for run in active if run.status == "training")
        for run in active:
            try:
                steps[run.status](run, now)
            except SQLAlchemyError:
                raise  # the database's trouble, not this run's
            except Exception as error:  # this run ends, the others go on
                self._fail(run.id, error)

    def stop(self) -> None:
        """End the workers of this process; their runs are begun once more later."""
        self._training.stop()

    def _wait(self, run: RunRecord, now: float) -> None:
        if over := self._days.over(run, now):
            self._end(run, "cancelled", over)
            return
        policy = self._train_policy(run.model)
        if run.begin is not None or run.repeats is not None:
            self._take_up(run, policy)
            return
        if run.parent != (serving := self._serving(run.model)):  # it has waited long
            run = self._store.move(run, parent=serving)
        fresh = self._days.rows(run, now)
        trial = self._trial(run)
        # One experiment at a time: a candidate that is trained now would wait, and age.
        if trial is not None:
            self._note_reason(run, f"waiting for the end of {trial}")
        elif (len(fresh) if fresh is not None else 0) < policy.minimum_samples:
            self._wait_for_rows(run, policy, fresh, now)
        elif self._training.busy() >= self._slots:
            self._note_reason(run, "waiting for another training to end")
        else:
            self._training.start(run, policy, fresh, now)

    def _trial(self, run: RunRecord) -> str | None:
        """Return the experiment that runs on the model, if one does."""
        plan = self._plans.current(run.model)
        return None if plan is None or plan.experiment is None else plan.experiment.id

    def _take_up(self, run: RunRecord, policy: TrainPolicy) -> None:
        """Go on with a run at the step where it is taken up, or repeat another one."""
        trial = self._trial(run) if run.repeats is None else None
        if trial is not None:
            self._note_reason(run, f"waiting for the end of {trial}")
        elif run.begin == "gate":
            self._store.move(run, status="training", begin=None)  # its release is there
        elif run.begin == "rollout":
            check_parent(run, self._plans.current(run.model))
            self._publish(run, actor=f"run {run.id}")
        elif self._training.busy() >= self._slots:
            self._note_reason(run, "waiting for another training to end")
        elif run.repeats is not None:
            self._training.repeat(run, self.get(run.repeats), policy)
        elif run.begin == "collect":
            self._store.move(run, begin=None)
        elif run.begin == "validate":
            self._training.rows.check_again(run, policy)
            steps = self.steps.of_run(run.id)
            self._store.move(run, begin=first_step(steps, self._changes.of(run, steps))[0])
        else:
            check_parent(run, self._plans.current(run.model))
            self._training.resume(run, policy, step_of(run.begin or ""))

    def _wait_for_rows(
        self, run: RunRecord, policy: TrainPolicy, fresh: CappedRows | None, now: float
    ) -> None:
        rows, cut = (len(fresh), fresh.words()) if fresh is not None else (0, "")
        needed, more = policy.minimum_samples, f"; {cut}" if cut else ""
        if now - (run.waits_since or run.created_at) > policy.wait_seconds:
            self._end(run, "failed", f"only {rows} of {needed} fresh rows were shared{more}")
        else:
            self._note_reason(run, f"{rows} of {needed} fresh rows{more}")

    def _train(self, run: RunRecord, now: float) -> None:
        failure = self._training.look(run, self._train_policy(run.model), now)
        if failure is None:
            return
        if failure:
            self._end(run, "failed", failure)
            return
        if run.repeats is not None:
            same, said = compared_bytes(self.folder(run.repeats), self.folder(run.id))
            self._end(run, "repeated" if same else "differs", said)
            return
        if over := self._days.over(run, now):  # it would go back before anybody had it
            self._end(run, "cancelled", over)
            return
        folder, candidate = self.folder(run.id), self._candidate(run)
        result, version = jobs.result(folder), candidate.manifest.version
        assert result is not None
        self._datasets.set_uses(run.model, version, "trained", run.datasets)
        self._training.features.note_trained(run.model, version, folder, result.features)
        made = {"mode": result.mode, "mode_reason": result.mode_reason, "version": version}
        self._evaluate(self._store.move(run, **made), candidate)

    def _evaluate(self, run: RunRecord, candidate: Release) -> None:
        parent = self._registry.release(run.model, run.parent).manifest.signature
        takes = candidate.manifest.signature
        # Devices send the inputs of the parent: a canary of other inputs would fail on all of them.
        if (takes.inputs, takes.columns) != (parent.inputs, parent.columns):
            why = f"{run.version} takes other inputs than {run.parent}, so devices must change too"
            self._end(run, "held", f"{why}; publish it with edge-hub runs override {run.id}")
            return
        if failed := failures(self._gate(run, candidate)):
            self._end(run, "rejected", failed)
        else:
            self._publish(run, actor=f"run {run.id}")

    def _gate(self, run: RunRecord, candidate: Release) -> list[Check]:
        """Ask the offline gate, and record it as a step."""
        held = jobs.held_rows(self._training.folder(run))
        run_apart = functools.partial(evaluate_apart, self._training.workers)
        forgetting = self._days.forgetting(run)
        inputs = self.offline_gate.inputs(run.model, candidate, forgetting=forgetting)
        # A hub that was killed afterwards does not ask once more: rows wear with use.
        asked = self.steps.has_begun(run.id, run.attempts, "gate", inputs)
        with self.steps.recorded(run.id, run.model, run.attempts, "gate", inputs) as step:
            checks = (list(run.gate) if asked else []) or self.offline_gate.check(
                run.model, candidate, held, since=self._days.since(run), run=run_apart,
                forgetting=forgetting,
            )  # fmt: skip
            self._store.note(run, gate=as_table(checks))
            step.metrics = {c.check: c.candidate for c in checks if c.candidate is not None}
            step.lines = [f"{c.check}: {c.verdict or c.ok} {c.note}" for c in checks]
            step.failed = failures(checks)
        return checks

    def _publish(self, run: RunRecord, *, actor: str, override: str | None = None) -> None:
        """Publish the candidate; start the experiment, unless it takes other inputs."""
        declared = asdict(self._registry.policy(run.model).experiment)
        inputs = {"version": run.version, "experiment": declared, "override": override}
        with self.steps.recorded(run.id, run.model, run.attempts, "rollout", inputs) as step:
            step.outputs = self._rolled_out(run, actor, override)
            step.lines = [f"{name}: {value}" for name, value in step.outputs.items()]

    def _rolled_out(self, run: RunRecord, actor: str, override: str | None) -> dict[str, str]:
        path = self._training.folder(run) / jobs.NEXT_STATE
        state = path.read_bytes() if path.exists() else None
        self._store.move(run)  # nobody has cancelled it while the gate was asked
        if override is None:  # what a person insists on stays until a person says so
            self._days.mark(run, self._serving(run.model), time.time())
        self._registry.publish(
            self._candidate(run), actor=actor, training_state=state, gated=True, override=override
        )
        assert run.version is not None
        self._published(run.model, run.version)
        if run.status == "held":
            return {"version": run.version}
        # In one transaction, or a hub that is killed here would try the candidate a second time.
        with self._store.whole():
            trial = self._experiments.start(run.model, run.version, actor=actor).id
            said = f"experiment {trial}"
            self._store.move(run, status="experiment", experiment=trial, reason=said, begin=None)
            self.steps.end_running(run.id, run.attempts, "done", "")
        return {"version": run.version, "experiment": trial}

    def _serving(self, model: str) -> str:
        plan = self._plans.current(model)
        assert plan is not None
        return plan.serving.version

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

    def _fail(self, id_: int, error: Exception) -> None:
        """End a run whose next step could not be taken, unless somebody has ended it meanwhile."""
        run = self.get(id_)
        if run.status not in ACTIVE:
            return
        if not isinstance(error, HubFault | EdgeError):
            log.error("%s: run %s", run.model, id_, exc_info=error)
        self._end(run, "failed", reason_of(error, id_))

    def _end(self, run: RunRecord, status: str, reason: str) -> None:
        """End a run; raises Conflict if it has another status by now."""
        self._store.move(run, status=status, reason=reason)
        self.steps.end_running(run.id, run.attempts, "failed", reason)
        detail = {"run": run.id, "version": run.version, "reason": reason}
        self._audit.record(ACTOR, f"run {status}", run.model, detail)
        log.info("%s: run %s %s: %s", run.model, run.id, status, reason)
