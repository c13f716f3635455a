"""What was decided of an experiment is written here: plan, record, history and audit log.

Whoever decides opens the transaction that holds them together.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from cloud_hub.database.audit import Audit
from cloud_hub.errors import Conflict
from cloud_hub.experiments.store import ExperimentRecord, ExperimentStore
from cloud_hub.experiments.verdict.parallel import GateDecision
from cloud_hub.plans.service import Plans
from edge_sdk.contract.plan import Experiment, Plan


class DecisionLog:
    """Writes for :class:`~cloud_hub.experiments.service.Experiments`."""

    def __init__(self, audit: Audit, plans: Plans, store: ExperimentStore) -> None:
        self._audit = audit
        self._plans = plans
        self.store = store

    def expect(self, id_: str, *statuses: str) -> ExperimentRecord:
        """The record, if its status is one of ``statuses``; raises NotFound, Conflict."""
        record = self.store.get(id_)
        if record.status not in statuses:
            raise Conflict(
                f"{id_}: expected one that is {' or '.join(statuses)}, it is {record.status}"
            )
        return record

    def trial(self, record: ExperimentRecord) -> Experiment:
        """What the plan says of it; raises Conflict if that is nothing."""
        plan = self._plans.current(record.model)
        if plan is None or plan.experiment is None or plan.experiment.id != record.id:
            raise Conflict(f"{record.id}: the plan of {record.model} does not name it any more")
        return plan.experiment

    def change(
        self,
        model: str,
        trial: Experiment | None,
        actor: str,
        reason: str,
        evidence: dict[str, Any] | None = None,
    ) -> Plan:
        """The next plan of ``model``, with ``trial``."""
        return self._plans.change(
            model, lambda p: replace(p, experiment=trial),
            actor=actor, reason=reason, evidence=evidence,
        )  # fmt: skip

    def end(
        self,
        record: ExperimentRecord,
        status: str,
        actor: str,
        reason: str,
        figures: dict[str, Any],
        winner: str | None = None,
    ) -> None:
        """It is over, as ``status`` says."""
        state = {**self.store.get(record.id).state, "winner": winner}
        end = {"status": status, "reason": reason, "figures": figures, "ended_at": time.time()}
        if self.store.move(record, state=state, **end):  # else another process of the hub did
            self.tell(record, actor, status, reason, figures)

    def note(
        self, record: ExperimentRecord, reason: str, decision: GateDecision, now: float
    ) -> None:
        """What was seen at a look that changed nothing."""
        kept = {name: [vars(look) for look in found] for name, found in decision.looks.items()}
        state = {**record.state, "looks": kept}
        self.store.move(record, reason=reason, figures=decision.figures, state=state)
        if self.store.due(record, now):
            self.store.look(record, now, "look", reason, decision.figures)

    def tell(
        self, record: ExperimentRecord, actor: str, event: str, reason: str, figures: Any
    ) -> None:
        """To the history that the report shows, and to the audit log."""
        self.store.look(record, time.time(), event, reason, figures)
        self.audit(record, actor, event, reason, figures)

    def audit(
        self,
        record: ExperimentRecord,
        actor: str,
        event: str,
        reason: str,
        figures: Any,
        **more: Any,
    ) -> None:
        """To the audit log only."""
        detail = {"experiment": record.id, "reason": reason, "figures": figures, **more}
        self._audit.record(actor, f"{record.strategy} {event}", record.model, detail)
