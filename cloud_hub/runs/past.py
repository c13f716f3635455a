"""Runs that have ended: taken up again, made once more, held side by side."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Conflict
from cloud_hub.runs import jobs
from cloud_hub.runs.code.environment import environment_digest, packages
from cloud_hub.runs.comparison import RunComparison, RunFacts, compare_runs
from cloud_hub.runs.rows import collect_inputs
from cloud_hub.runs.steps.resuming import (
    RESUMABLE,
    changed_steps,
    check_begin,
    check_parent,
    first_step,
)
from cloud_hub.runs.store import ACTIVE, RunCause

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from cloud_hub.runs.code.service import Pipelines, PipelineVersion
    from cloud_hub.runs.offline import OfflineGate
    from cloud_hub.runs.rare_days import RunDays
    from cloud_hub.runs.steps.names import StepName
    from cloud_hub.runs.steps.store import StepRecord, StepStore
    from cloud_hub.runs.store import RunRecord, RunStore
    from cloud_hub.runs.training import TrainingRunner


log = logging.getLogger(__name__)

DAY: Final = 86_400.0
CLEAN_SECONDS: Final = 3_600.0


class RunChanges:
    """Compares what the steps of runs were given with what they would be given now, as far as the
    hub knows it.

    Rows are those that a run collected, and sets of features those of its training: a run that is
    taken up again means them.
    """

    def __init__(
        self, registry: Registry, pipelines: Pipelines, gate: OfflineGate, days: RunDays
    ) -> None:
        self._registry = registry
        self._pipelines = pipelines
        self._gate = gate
        self._days = days

    def of(self, run: RunRecord, steps: Sequence[StepRecord]) -> dict[StepName, tuple[str, ...]]:
        """Return the steps of a run whose inputs are others now, with the names of those inputs.

        Args:
            run: that has ended, or waits.
            steps: of its last attempt.
        """
        policy = self._registry.policy(run.model).train
        if policy is None:
            return {}
        environment = environment_digest(packages())
        code = self._pipelines.current(run.model, policy)
        now: dict[StepName, Mapping[str, Any]] = {
            "collect": collect_inputs(policy),
            "validate": {"thresholds": asdict(policy.validation)},
            "train": {
                "environment": environment, "seed": policy.seed,
                "rehearsal": asdict(policy.rehearsal),
            },
            "convert": {"environment": environment},
            "gate": self._gate.inputs(run.model, forgetting=self._days.forgetting(run)),
        }  # fmt: skip
        if code is not None:  # else which code trains is said only by who has trained
            now["train"] = {**now["train"], "code": code.digest}
        if self._is_taken(run, steps):
            now["convert"] = {**now["convert"], "version": "taken by another release"}
        return changed_steps(steps, now)

    def _is_taken(self, run: RunRecord, steps: Sequence[StepRecord]) -> bool:
        """Tell whether somebody has published another release as the version of a run."""
        made = [step.outputs.get("manifest") for step in steps if step.step == "convert"]
        known = self._registry.versions(run.model)
        return any(v.version == run.version and v.manifest not in made for v in known)


class PastRuns:
    """Runs of all models that have ended.

    What is asked for here is noted on a run; the tick of :class:`cloud_hub.runs.service.Runs` does
    it.
    """

    def __init__(
        self,
        store: RunStore,
        steps: StepStore,
        training: TrainingRunner,
        pipelines: Pipelines,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        changes: RunChanges,
    ) -> None:
        self._store = store
        self._steps = steps
        self._training = training
        self._pipelines = pipelines
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._changes = changes
        self._cleaned = 0.0

    def resume(
        self, id_: int, *, actor: str, begin: StepName | None = None, reason: str = ""
    ) -> RunRecord:
        """Take up a run that has ended badly; what was done before the step is used again.

        Args:
            id_: number of the run.
            actor: the person.
            begin: step to begin at; default the first that failed or whose inputs have changed.
            reason: stays in the audit.

        Raises:
            NotFound: no such run.
            Conflict: it cannot be taken up, or not at this step; says why.
        """
        run = self._store.get(id_)
        if run.status not in RESUMABLE or run.repeats is not None:
            raise Conflict(f"run {id_}: is {run.status}; only {', '.join(RESUMABLE)} ones resume")
        check_parent(run, self._plans.current(run.model))
        steps = self._steps.of_run(id_)
        why = "as asked"
        if begin is None:
            begin, why = first_step(steps, self._changes.of(run, steps))
        check_begin(id_, begin, steps)
        anew: dict[str, Any] = {} if begin == "rollout" else {"gate": []}  # what it said is over
        if begin == "collect":  # as a run that has just been asked for
            anew = {"gate": [], "datasets": [], "until": None, "waits_since": time.time()}
        said = f"taken up at {begin}: {why}"
        run = self._store.take_up(run, status="waiting", begin=begin, reason=said, **anew)
        detail = {"run": id_, "begin": begin, "why": why, "reason": reason}
        self._audit.record(actor, "run resumed", run.model, detail)
        return run

    def repeat(self, id_: int, *, actor: str) -> RunRecord:
        """Make the bytes of a run once more, from its versions of data and code; nothing else.

        Args:
            id_: number of the run.
            actor: the person.

        Raises:
            NotFound: no such run.
            Conflict: it made no release, or was trained elsewhere.
        """
        run = self._store.get(id_)
        made = jobs.result(self._training.folder(run))
        code = self._code(run)
        if made is None or not made.ok or code is None or code.elsewhere is not None:
            raise Conflict(f"run {id_}: made no release here that could be made once more")
        cause = RunCause("manual", actor=actor, reason=f"repeats run {id_}")
        copied = ("mode", "parent", "since", "until", "pipeline", "parameters")
        return self._store.add(
            run.model, cause, **{name: getattr(run, name) for name in copied},
            datasets=list(run.datasets), repeats=id_, reason=f"waiting to repeat run {id_}",
        )  # fmt: skip

    def compare(self, before: int, after: int) -> RunComparison:
        """Return two runs side by side; raises NotFound."""
        return compare_runs(self._facts(before), self._facts(after))

    def clean(self, now: float) -> None:
        """Delete the rows of runs that ended longer ago than policies keep what devices shared.

        Every :data:`CLEAN_SECONDS`. What was made of them stays: releases, figures, records.

        Args:
            now: Unix seconds.
        """
        if now - self._cleaned < CLEAN_SECONDS:
            return
        self._cleaned = now
        runs = self._store.records()
        kept = {
            model: self._registry.policy(model).retention.sample_days * DAY
            for model in {run.model for run in runs}
        }
        for run in runs:
            if run.status in ACTIVE or run.updated_at >= now - kept[run.model]:
                continue
            if jobs.forget_rows(self._training.folder(run).parent):
                log.info("%s: the rows of run %s were deleted", run.model, run.id)

    def _facts(self, id_: int) -> RunFacts:
        run = self._store.get(id_)
        return RunFacts(run, self._steps.of_run(id_), self._code(run))

    def _code(self, run: RunRecord) -> PipelineVersion | None:
        return None if run.pipeline is None else self._pipelines.get(run.model, run.pipeline)
