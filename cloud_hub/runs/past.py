"""Runs that have ended: taken up again, made once more, held side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloud_hub.errors import Conflict
from cloud_hub.runs import jobs
from cloud_hub.runs.code.environment import environment_digest, packages
from cloud_hub.runs.comparison import RunComparison, RunFacts, compare_runs
from cloud_hub.runs.steps.resuming import (
    RESUMABLE,
    changed_steps,
    check_begin,
    check_parent,
    first_step,
)
from cloud_hub.runs.store import RunCause

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from cloud_hub.runs.code.service import Pipelines
    from cloud_hub.runs.steps.names import StepName
    from cloud_hub.runs.steps.store import StepRecord, StepStore
    from cloud_hub.runs.store import RunRecord, RunStore
    from cloud_hub.runs.training import TrainingRunner


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
    ) -> None:
        self._store = store
        self._steps = steps
        self._training = training
        self._pipelines = pipelines
        self._audit = audit
        self._registry = registry
        self._plans = plans

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
            begin, why = first_step(steps, self._changed(run, steps))
        check_begin(id_, begin, steps)
        said = f"taken up at {begin}: {why}"
        run = self._store.take_up(run, status="waiting", begin=begin, reason=said)
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
        if made is None or not made.ok or run.pipeline is None:
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

    def _facts(self, id_: int) -> RunFacts:
        run = self._store.get(id_)
        code = None
        if run.pipeline is not None:
            code = self._pipelines.get(run.model, run.pipeline)
        return RunFacts(run, self._steps.of_run(id_), code)

    def _changed(self, run: RunRecord, steps: list[StepRecord]) -> dict[StepName, tuple[str, ...]]:
        """Return the steps of a run that would not have the same inputs now."""
        policy = self._registry.policy(run.model).train
        if policy is None:
            return {}
        code = self._pipelines.current(run.model, policy)
        return changed_steps(
            steps, policy, code=code.digest if code is not None else "elsewhere",
            environment=environment_digest(packages()),
        )  # fmt: skip
