"""Service of running experiments: start, watch, advance, pause, promote, take back.

A decision is written as a whole, plan, record, history and audit log in one transaction, and
published then: a hub that is killed at any moment has done all of it or nothing, and decides again.
An experiment whose plan was changed by hand has ended. Every decision is audited with the evidence
that it was made on.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Engine

from cloud_hub.database.engine import transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.errors import Conflict
from cloud_hub.experiments import personalised, schedule
from cloud_hub.experiments.decision_log import DecisionLog
from cloud_hub.experiments.documents import seen_document
from cloud_hub.experiments.evidence_loader import EvidenceLoader, ExperimentSnapshot
from cloud_hub.experiments.policy_defaults import canary_of, spec_of
from cloud_hub.experiments.preparation import Preparation
from cloud_hub.experiments.record import (
    Acknowledgement,
    ExperimentRecord,
    fresh_record,
)
from cloud_hub.experiments.report import build
from cloud_hub.experiments.store import ExperimentStore
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.moves import end_of, move_of
from cloud_hub.experiments.verdict.next_look import next_look
from cloud_hub.registry.per_model import ModelTurns, QuietModels

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.experiments.claims import ExperimentClaims
    from cloud_hub.experiments.report_sections import Report
    from cloud_hub.experiments.verdict.decision import GateDecision
    from cloud_hub.experiments.verdict.evidence import Evidence
    from cloud_hub.experiments.verdict.figures import Figures
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.fleet.service import Fleet
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry

ACTOR: Final = "hub"
P = ParamSpec("P")
T = TypeVar("T")


def _atomic(
    method: Callable[Concatenate[Experiments, P], T],
) -> Callable[Concatenate[Experiments, P], T]:
    """Run a method in one transaction, and one at a time: a person's command, the loop's look."""

    @functools.wraps(method)
    def alone(self: Experiments, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with exclusive(self._engine, "experiments"), transaction(self._engine):
            return method(self, *args, **kwargs)

    return alone


class Experiments:
    """Experiments of all models; one at a time each."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        fleet: Fleet,
        telemetry: Telemetry,
        claims: ExperimentClaims,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._plans = plans
        self._claims = claims
        self.turns = ModelTurns()
        self._quiet = QuietModels()
        self.store = ExperimentStore(engine)
        self._decisions = DecisionLog(audit, plans, self.store)
        self.preparation = Preparation(engine, registry, plans, fleet)
        self.evidence = EvidenceLoader(engine, fleet, telemetry, claims, registry)

    def records(self, model: str | None = None) -> list[ExperimentRecord]:
        """All of them, oldest first."""
        return self.store.records(model)

    def get(self, id_: str) -> ExperimentRecord:
        """One of them; raises NotFound."""
        return self.store.get(id_)

    def start(self, model: str, version: str, *, actor: str) -> ExperimentRecord:
        """Try a version with the strategy that the model's policy names; raises as :meth:`run`.

        Args:
            model: name of the model.
            version: to try.
            actor: for the audit log.
        """
        spec = spec_of(model, version, self._registry.policy(model).experiment)
        return self.run(spec, actor=actor)

    def canary(self, model: str, version: str, *, actor: str) -> ExperimentRecord:
        """Try a version in a canary, whatever the policy names; raises as :meth:`run`.

        Args:
            model: name of the model.
            version: to try.
            actor: for the audit log.
        """
        spec = canary_of(model, version, self._registry.policy(model).experiment)
        return self.run(spec, actor=actor)

    @_atomic
    def run(self, spec: ExperimentSpec, *, actor: str) -> ExperimentRecord:
        """Start what ``spec`` declares.

        Raises:
            NotFound: a version is not published, or nothing serves yet.
            Conflict: another experiment runs, or a version serves already, is gone, or takes other
                inputs.
            Invalid: a cohort that no device belongs to, or an outcome that nobody measures.
        """
        # Before anything is written: reading a week must not hold up devices' uploads.
        plan, past = self.preparation.begin(spec, time.time())
        id_ = self.store.next_id(spec.model, spec.strategy)
        spec, trial = self.preparation.first_step(spec, plan, id_)
        reason = f"{id_}: {spec.versions} on {schedule.shown(spec, 0, 0)}"
        control = personalised.control_of(spec, plan)
        changed = self._decisions.change(spec.model, trial, actor, reason, serving=control)
        if spec.cohorts:
            with transaction(self._engine) as db:
                self._claims.settle_members(db, trial, spec.model)
        fresh = fresh_record(spec, trial, plan.serving.version, changed.serial)
        self.store.add(fresh, past)
        self._decisions.log(fresh, actor, "started", reason, fresh.spec)
        return self.get(id_)

    def report(self, id_: str) -> Report:
        """Everything that was seen and decided, over time; raises NotFound."""
        record = self.get(id_)
        return build(
            record,
            self.store.history(id_),
            self.evidence.totals(id_),
            self.evidence.devices(record),
            self.evidence.compared(record),
        )

    @_atomic
    def pause(self, id_: str, *, actor: str, reason: str) -> ExperimentRecord:
        """Let nobody enter any more; who is in stays in.

        Args:
            id_: of the experiment.
            actor: for the audit log.
            reason: for people.

        Raises:
            Conflict: it does not run.
        """
        record = self._decisions.expect(id_, "running", "waiting")
        self._pause(record, actor, reason, record.figures)
        return self.get(id_)

    @_atomic
    def resume(self, id_: str, *, actor: str, reason: str) -> ExperimentRecord:
        """Go on. What failed until now is acknowledged: only new failures trip again.

        Args:
            id_: of the experiment.
            actor: for the audit log.
            reason: for people.

        Raises:
            Conflict: it is not paused.
        """
        record = self._decisions.expect(id_, "paused")
        trial = self._decisions.trial(record)
        now = time.time()
        seen = Acknowledgement(self.evidence.last_event(record), now, now)
        changed = self._decisions.change(
            record.model, replace(trial, paused=False), actor, f"{id_} resumed: {reason}"
        )
        self.store.note(
            record,
            status="running",
            step_started_at=now,
            reason=f"resumed: {reason}",
            state=replace(record.state, **vars(seen), serial=changed.serial),
        )
        self._decisions.log(record, actor, "resumed", reason, seen)
        return self.get(id_)

    @_atomic
    def stop(self, id_: str, *, actor: str, reason: str) -> ExperimentRecord:
        """End it; everybody gets what serves.

        Args:
            id_: of the experiment.
            actor: for the audit log.
            reason: for people.

        Raises:
            Conflict: it has ended.
        """
        record = self._decisions.expect(id_, "running", "paused", "waiting")
        said = f"{id_} stopped: {reason}"
        self._decisions.change(record.model, None, actor, said, record.figures)
        self._decisions.end(record, "stopped", actor, reason, record.figures)
        return self.get(id_)

    @_atomic
    def promote(
        self, id_: str, *, actor: str, reason: str, arm: str | None = None
    ) -> ExperimentRecord:
        """Let an arm serve everybody: the winner, or the one that is named.

        Args:
            id_: of the experiment.
            actor: for the audit log.
            reason: for people.
            arm: to promote; the winner, or the only one, if left out.

        Raises:
            Conflict: it was taken back or promoted already, the arm was dropped, or no arm won and
                none is named.
        """
        record, chosen, version = self.arm_to_promote(id_, arm)
        seen, why = seen_document(record.figures), f"{id_}: {reason}"
        self._plans.promote(record.model, version, actor=actor, reason=why, evidence=seen)
        self._decisions.end(record, "promoted", actor, reason, record.figures, winner=chosen)
        return self.get(id_)

    def arm_to_promote(self, id_: str, arm: str | None = None) -> tuple[ExperimentRecord, str, str]:
        """Return an experiment, the arm that :meth:`promote` would promote, and its version.

        Args:
            id_: of the experiment.
            arm: that is named; the winner, or the only one, if left out.

        Raises:
            Conflict: as :meth:`promote`.
        """
        record = self._decisions.expect(id_, "running", "paused", "waiting", "concluded")
        personalised.check_promotion(record.spec, id_)
        chosen = arm or record.state.winner
        versions = {arm.name: arm.version for arm in record.running}
        # Promoted by hand before there is a winner: unambiguous with one candidate only.
        if chosen is None and len(versions) == 1:
            chosen = next(iter(versions))
        if chosen is None or chosen not in versions:
            raise Conflict(f"{id_}: expected an arm of {sorted(versions)}{_got(record, chosen)}")
        return record, chosen, versions[chosen]

    @_atomic
    def drop(self, id_: str, arm: str, *, actor: str, reason: str) -> ExperimentRecord:
        """Take an arm of an A/B/n test back; the others go on.

        Args:
            id_: of the experiment.
            arm: name of the arm.
            actor: for the audit log.
            reason: for people.

        Raises:
            Conflict: it has ended, has no such arm, or no other.
        """
        record = self._decisions.expect(id_, "running", "paused", "waiting")
        names = [running.name for running in record.running]
        if arm not in names:
            raise Conflict(f"{id_}: expected an arm of {sorted(names)}{_got(record, arm)}")
        if len(names) == 1:
            raise Conflict(f"{id_}: {arm} is its only arm; edge-hub experiments stop ends it")
        self._drop(record, (arm,), actor, reason, record.figures)
        return self.get(id_)

    def tick(self, now: float) -> None:
        """Look at every running experiment of which something is new, or at whose time has come.

        Of very many, at as many as there is time for.
        """
        # First of all: what comes meanwhile is news to the next look.
        found = {each.id: each for each in self.store.unended()}
        self._quiet.only(found)
        look = self._quiet.look
        self.turns.for_each(found, lambda id_: look(id_, found[id_], now=now, work=self._watch))

    def look(
        self, record: ExperimentRecord, now: float
    ) -> tuple[ExperimentSnapshot, Evidence, GateDecision] | None:
        """Return what would be decided now; ``None`` if the plan does not name the experiment."""
        plan = self._plans.current(record.model)
        if plan is None or plan.experiment is None or plan.experiment.id != record.id:
            return None
        snapshot = self.evidence.snapshot(record, plan, now)
        evidence = self.evidence.load(snapshot)
        dropped = [arm.name for arm in snapshot.trial.dropped]
        decision = judge(snapshot.spec, evidence, record.state.looks or {}, dropped)
        figures = replace(decision.figures, devices=self.evidence.counts(snapshot))
        return snapshot, evidence, replace(decision, figures=figures)

    @_atomic
    def _watch(self, id_: str, now: float) -> float:
        """Look at an experiment and act; return until when another look would change nothing."""
        record = self.get(id_)
        if not record.open:
            return now  # it was ended since the loop listed it
        seen = self.look(record, now)
        if seen is None:
            reason = "the plan was changed by hand"
            self._decisions.end(record, "stopped", ACTOR, reason, record.figures)
            return now
        snapshot, evidence, decision = seen
        move = move_of(record.status, decision)
        if over := personalised.no_longer_tried(record.spec, self._plans.current(record.model)):
            self.stop(id_, actor=ACTOR, reason=over)
        elif move == "note":
            # A paused experiment is still looked at, so that the report shows what came meanwhile.
            reason = decision.reason if record.status == "running" else record.reason
            self._decisions.note(record, reason, decision, now)
        elif move == "abort":
            self._abort(record, decision)
        elif move == "drop":
            self._drop(record, decision.arms, ACTOR, decision.reason, decision.figures)
        elif move == "pause":
            self._pause(record, ACTOR, decision.reason, decision.figures)
        elif move == "conclude":
            self._conclude(record, snapshot.spec, decision)
        else:
            self._advance(record, snapshot, decision, now)
        return next_look(snapshot.spec, evidence, now)

    def _advance(
        self,
        record: ExperimentRecord,
        snapshot: ExperimentSnapshot,
        decision: GateDecision,
        now: float,
    ) -> None:
        spec = snapshot.spec
        following = schedule.advance(spec, snapshot.trial, record.stage, record.step)
        # The last step passed: nobody is left to compare with, so the candidate has won.
        if following.experiment is None:
            self._conclude(record, spec, replace(decision, winner=spec.tried[0].name))
            return
        on = schedule.shown(spec, following.stage, following.step)
        changed = self._decisions.change(
            record.model, following.experiment, ACTOR,
            f"{record.id}: {decision.reason}; on to {on}", decision.figures,
        )  # fmt: skip
        # Each step is judged on its own data: the looks of the last one are spent.
        state = replace(record.state, serial=changed.serial, looks={})
        self.store.look(record, now, "passed", decision.reason, decision.figures)
        self.store.note(
            record,
            stage=following.stage,
            step=following.step,
            step_started_at=now,
            reason=f"{decision.reason}; on to {on}",
            figures=decision.figures,
            state=state,
        )
        passed = schedule.shown(spec, record.stage, record.step)
        self._decisions.audit(
            record, ACTOR, "passed", decision.reason, decision.figures, step=passed
        )

    def _conclude(
        self, record: ExperimentRecord, spec: ExperimentSpec, decision: GateDecision
    ) -> None:
        figures, reason, winner = decision.figures, decision.reason, decision.winner
        end = end_of(spec, winner)
        if end == "wait for approval":
            state = replace(record.state, winner=winner)
            waits = f"{reason}; waits for: edge-hub experiments promote {record.id}"
            self.store.note(record, status="waiting", reason=waits, figures=figures, state=state)
            self._decisions.log(record, ACTOR, "waits for approval", reason, figures)
        elif end == "promote":
            self.store.note(record, figures=figures, state=replace(record.state, winner=winner))
            # Noted first: promote() reads the winner from the record.
            self.promote(record.id, actor=ACTOR, reason=reason)
        else:
            self._decisions.change(
                record.model, None, ACTOR, f"{record.id} concluded: {reason}", figures
            )
            self._decisions.end(record, "concluded", ACTOR, reason, figures, winner=winner)

    def _abort(self, record: ExperimentRecord, decision: GateDecision) -> None:
        reason, figures = decision.reason, decision.figures
        self._decisions.change(record.model, None, ACTOR, f"{record.id} aborted: {reason}", figures)
        for arm in personalised.of_versions(record.running):
            self._registry.set_status(record.model, arm.version, "rolled_back")
        self._decisions.end(record, "aborted", ACTOR, reason, figures)

    def _drop(
        self,
        record: ExperimentRecord,
        arms: Sequence[str],
        actor: str,
        reason: str,
        figures: Figures,
    ) -> None:
        """Take ``arms`` back at once; a winner among them has not won."""
        trial = self._decisions.trial(record).drop(arms)
        message = f"{', '.join(arms)} dropped: {reason}"
        self._decisions.change(record.model, trial, actor, f"{record.id}: {message}", figures)
        now = time.time()
        gone = {arm: figures.against(arm, at=now, actor=actor, reason=reason) for arm in arms}
        state = replace(record.state, dropped={**record.dropped, **gone})
        status = record.status
        if record.state.winner in arms:
            state, status = replace(state, winner=None), "running"
        # An arm that a person drops is not condemned: it may be tried again.
        for arm in personalised.of_versions(record.running) if actor == ACTOR else ():
            if arm.name in arms:
                self._registry.set_status(record.model, arm.version, "rolled_back")
        # While a winner waits for a person, the reason is what it waits for.
        shown = record.reason if status == "waiting" else message
        self.store.note(record, status=status, reason=shown, figures=figures, state=state)
        self._decisions.log(record, actor, "dropped", message, figures.dropping(gone))

    def _pause(self, record: ExperimentRecord, actor: str, reason: str, figures: Figures) -> None:
        trial = replace(self._decisions.trial(record), paused=True)
        self._decisions.change(record.model, trial, actor, f"{record.id} paused: {reason}", figures)
        self.store.note(record, status="paused", reason=reason, figures=figures)
        self._decisions.log(record, actor, "paused", reason, figures)


def _got(record: ExperimentRecord, arm: str | None) -> str:
    """The end of a refusal of ``arm``."""
    gone = record.dropped.get(arm or "")
    if gone is None:
        return f", got {arm}"
    return f"; {arm} was dropped ({gone.reason})"
