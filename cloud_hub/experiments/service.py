"""Running canaries: start, watch, advance, promote, withdraw.

The plan is the truth about what runs; the table follows it. A canary whose plan was changed by hand
has ended; one that the plan names and the table does not know (the hub was killed in between) is
adopted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.audit import Audit
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.experiments.gate import ArmEvidence, Decision, decide
from cloud_hub.experiments.tables import experiments
from cloud_hub.fleet.service import Fleet
from cloud_hub.plans.service import Plans
from cloud_hub.policy import CanaryPolicy
from cloud_hub.registry.service import Registry
from cloud_hub.telemetry.service import Telemetry
from edge_sdk.contract.plan import CONTROL, SLOTS, Arm, Experiment, Plan, slot_of, widen

ARM: Final = "candidate"
ACTOR: Final = "hub"
SALTS: Final = 10_000
"""How many salts are tried to give a small fleet's first step its devices."""


@dataclass(frozen=True)
class ExperimentRecord:
    """One canary. ``status`` is running, promoted, aborted or stopped (by hand)."""

    id: str
    model: str
    candidate: str
    control: str
    status: str
    step: int
    step_started_at: float
    started_at: float
    ended_at: float | None
    reason: str
    figures: dict[str, Any]


class Experiments:
    """Canaries of all models."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        fleet: Fleet,
        telemetry: Telemetry,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._fleet = fleet
        self._telemetry = telemetry

    def records(self, model: str | None = None) -> list[ExperimentRecord]:
        """All of them, oldest first."""
        query = select(experiments).order_by(experiments.c.started_at)
        if model is not None:
            query = query.where(experiments.c.model == model)
        with self._engine.connect() as db:
            return [ExperimentRecord(**row) for row in db.execute(query).mappings()]

    def get(self, id_: str) -> ExperimentRecord:
        """One of them; raises NotFound."""
        with self._engine.connect() as db:
            row = db.execute(select(experiments).where(experiments.c.id == id_)).mappings().first()
        if row is None:
            raise NotFound(f"experiment {id_}: not found")
        return ExperimentRecord(**row)

    def start(self, model: str, version: str, *, actor: str) -> ExperimentRecord:
        """Try ``version`` on the first step's share of the fleet.

        Raises:
            NotFound: the version is not published, or nothing serves yet.
            Conflict: it serves already, another experiment runs, or it takes other inputs.
        """
        plan = self._plans.current(model)
        if plan is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        self._check_candidate(plan, version)
        policy = self._registry.policy(model).canary
        id_ = self._next_id(model)
        slots = _slots(policy.steps[0])
        units = [device.device for device in self._fleet.devices(model)]
        salt = choose_salt(id_, units, slots, policy.minimum_devices)
        arms = widen((Arm(ARM, self._plans.reference(model, version)),), {ARM: slots})
        trial = Experiment(id_, "canary", salt, arms)
        reason = f"canary of {version} on {policy.steps[0]:.0%}"
        self._plans.change(
            model, lambda p: replace(p, experiment=trial), actor=actor, reason=reason
        )
        self._insert(id_, plan, version)
        self._audit.record(actor, "canary", model, {"experiment": id_, "candidate": version})
        return self.get(id_)

    def _check_candidate(self, plan: Plan, version: str) -> None:
        if plan.experiment is not None:
            raise Conflict(f"{plan.model}: {plan.experiment.id} runs; end it first")
        if plan.serving.version == version:
            raise Conflict(f"{plan.model} {version}: serves already")
        candidate = self._registry.release(plan.model, version).manifest.signature
        control = self._registry.release(plan.model, plan.serving.version).manifest.signature
        if candidate.inputs != control.inputs or candidate.columns != control.columns:
            raise Conflict(
                f"{plan.model} {version}: takes other inputs than {plan.serving.version}"
            )

    def tick(self, now: float) -> None:
        """Look at every running canary once."""
        for model in self._registry.models():
            self._adopt(model)
        for record in self.records():
            if record.status == "running":
                self._watch(record, now)

    def _watch(self, record: ExperimentRecord, now: float) -> None:
        plan = self._plans.current(record.model)
        if plan is None or plan.experiment is None or plan.experiment.id != record.id:
            self._end(record, "stopped", "the plan was changed by hand", record.figures)
            return
        policy = self._registry.policy(record.model).canary
        candidate, control = self.evidence(record)
        soaked = now - record.step_started_at
        decision = decide(policy, candidate, control, soaked=soaked)
        if decision.action == "abort":
            self._abort(record, decision)
        elif decision.action == "pass":
            self._advance(record, policy, plan, decision, now)
        else:
            self._note(record, reason=decision.reason, figures=decision.figures)

    def evidence(self, record: ExperimentRecord) -> tuple[ArmEvidence, ArmEvidence]:
        """What is known of the candidate and of the control."""
        events = self._telemetry.events(record.model, experiment=record.id)
        bad = {e["device"] for e in events if e["outcome"] in ("failed", "rolled_back")}
        candidate = self._arm(record, ARM, record.candidate)
        control = self._arm(record, CONTROL, record.control)
        return replace(candidate, failed_devices=len(bad)), control

    def _arm(self, record: ExperimentRecord, arm: str, version: str) -> ArmEvidence:
        found = self._telemetry.outcomes(
            record.model, version=version, experiment=record.id, arm=arm
        )
        return ArmEvidence(
            labelled=found.labelled,
            correct=found.correct,
            predictions=found.predictions,
            errors=found.errors,
            devices=found.devices,
        )

    def _advance(
        self,
        record: ExperimentRecord,
        policy: CanaryPolicy,
        plan: Plan,
        decision: Decision,
        now: float,
    ) -> None:
        following = record.step + 1
        if following >= len(policy.steps) or policy.steps[following] >= 1.0:
            reason = f"{record.id}: {decision.reason}"
            self._plans.promote(
                record.model,
                record.candidate,
                actor=ACTOR,
                reason=reason,
                evidence=decision.figures,
            )
            self._end(record, "promoted", decision.reason, decision.figures)
            return
        share = policy.steps[following]
        assert plan.experiment is not None
        trial = replace(plan.experiment, arms=widen(plan.experiment.arms, {ARM: _slots(share)}))
        self._plans.change(
            record.model,
            lambda p: replace(p, experiment=trial),
            actor=ACTOR,
            reason=f"{record.id}: {decision.reason}; on to {share:.0%}",
            evidence=decision.figures,
        )
        self._note(
            record,
            step=following,
            step_started_at=now,
            reason=decision.reason,
            figures=decision.figures,
        )

    def _abort(self, record: ExperimentRecord, decision: Decision) -> None:
        self._plans.change(
            record.model,
            lambda p: replace(p, experiment=None),
            actor=ACTOR,
            reason=f"{record.id} aborted: {decision.reason}",
            evidence=decision.figures,
        )
        self._registry.set_status(record.model, record.candidate, "rolled_back")
        self._end(record, "aborted", decision.reason, decision.figures)

    def _adopt(self, model: str) -> None:
        plan = self._plans.current(model)
        if plan is None or plan.experiment is None:
            return
        if all(record.id != plan.experiment.id for record in self.records(model)):
            self._insert(plan.experiment.id, plan, plan.experiment.arms[0].release.version)

    def _insert(self, id_: str, plan: Plan, candidate: str) -> None:
        now = time.time()
        row = {"id": id_, "model": plan.model, "candidate": candidate, "status": "running"}
        query = insert(experiments).values(
            **row,
            control=plan.serving.version,
            step=0,
            step_started_at=now,
            started_at=now,
            reason="started",
            figures={},
        )
        try:
            with self._engine.begin() as db:
                db.execute(query)
        except IntegrityError:
            return  # the loop, or whoever started it, was first

    def _end(
        self, record: ExperimentRecord, status: str, reason: str, figures: dict[str, Any]
    ) -> None:
        self._note(record, status=status, reason=reason, figures=figures, ended_at=time.time())
        detail = {"experiment": record.id, "reason": reason, "figures": figures}
        self._audit.record(ACTOR, f"canary {status}", record.model, detail)

    def _note(self, record: ExperimentRecord, **values: Any) -> None:
        change = update(experiments).where(experiments.c.id == record.id)
        with self._engine.begin() as db:
            db.execute(change.values(**values))

    def _next_id(self, model: str) -> str:
        query = select(func.count()).where(experiments.c.model == model)
        with self._engine.connect() as db:
            number = 1 + int(db.execute(query).scalar() or 0)
        return f"{model[:40]}-canary-{number}"


def choose_salt(id_: str, units: Sequence[str], slots: int, minimum: int) -> str:
    """A salt for which the first step holds at least ``minimum`` units, and not all of them.

    In a large fleet the first salt will do. In a small one a share may well hold nobody; trying
    salts in order, without a look at anything but the units' names, biases no comparison: which
    units take part is still settled by a hash before any outcome is seen.
    """
    wanted = min(minimum, max(0, len(units) - 1))
    for number in range(SALTS):
        salt = f"{id_}.{number}"
        inside = sum(slot_of(salt, unit) < slots for unit in units)
        if wanted <= inside < max(len(units), 1) or (not units and number == 0):
            return salt
    return f"{id_}.0"


def _slots(share: float) -> int:
    return max(1, round(share * SLOTS))
