"""Log of decisions: plan, record, history and audit log are written together.

Whoever decides opens the transaction that holds them together.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from cloud_hub.errors import Conflict
from cloud_hub.experiments.documents import Seen, seen_document

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.experiments.store import ExperimentStore
    from cloud_hub.experiments.verdict.decision import GateDecision
    from cloud_hub.experiments.verdict.figures import Figures
    from cloud_hub.plans.service import Plans
    from edge_sdk.contract.plan import Experiment, Plan, ReleaseRef

log = logging.getLogger(__name__)


class DecisionLog:
    """Writer of decisions for :class:`~cloud_hub.experiments.service.Experiments`."""

    def __init__(self, audit: Audit, plans: Plans, store: ExperimentStore) -> None:
        self._audit = audit
        self._plans = plans
        self.store = store

    def expect(self, id_: str, *statuses: str) -> ExperimentRecord:
        """Return the record, if its status is one of ``statuses``; raises NotFound, Conflict."""
        record = self.store.get(id_)
        if record.status not in statuses:
            raise Conflict(
                f"{id_}: expected one that is {' or '.join(statuses)}, it is {record.status}"
            )
        return record

    def trial(self, record: ExperimentRecord) -> Experiment:
        """Return the experiment as the plan names it; raises Conflict if it names another."""
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
        figures: Figures | None = None,
        serving: ReleaseRef | None = None,
    ) -> Plan:
        """Publish the next plan of a model.

        Args:
            model: whose plan it is.
            trial: the experiment that the plan names; ``None`` for none.
            actor: for the audit log.
            reason: for people.
            figures: that it was decided on.
            serving: what serves; by default what does now.
        """
        evidence = None if figures is None else seen_document(figures)
        return self._plans.change(
            model, lambda p: replace(p, experiment=trial, serving=serving or p.serving),
            actor=actor, reason=reason, evidence=evidence,
        )  # fmt: skip

    def end(
        self,
        record: ExperimentRecord,
        status: str,
        actor: str,
        reason: str,
        figures: Figures,
        winner: str | None = None,
    ) -> None:
        """End an experiment.

        Args:
            record: of the experiment.
            status: how it ended.
            actor: for the audit log.
            reason: for people.
            figures: that it was decided on.
            winner: the arm that won, if any.
        """
        state = replace(self.store.get(record.id).state, winner=winner)
        end = {"status": status, "reason": reason, "figures": figures, "ended_at": time.time()}
        # Of several processes of the hub that look at once only the first may end it.
        if self.store.move(record, state=state, **end):  # else another process of the hub did
            self.log(record, actor, status, reason, figures)

    def note(
        self, record: ExperimentRecord, reason: str, decision: GateDecision, now: float
    ) -> None:
        """Write down a look that changed nothing.

        Args:
            record: of the experiment.
            reason: why nothing was changed, for people.
            decision: with the figures and the planned looks taken.
            now: Unix seconds.
        """
        state = replace(record.state, looks=decision.looks)
        self.store.move(record, reason=reason, figures=decision.figures, state=state)
        # The record changes at every look; the history only as often as its age warrants.
        if self.store.due(record, now):
            self.store.look(record, now, "look", reason, decision.figures)

    def log(
        self, record: ExperimentRecord, actor: str, event: str, reason: str, seen: Seen
    ) -> None:
        """Add an entry to the history that the report shows, and to the audit log.

        Args:
            record: of the experiment.
            actor: who decided.
            event: what was decided.
            reason: for people.
            seen: the figures that it was decided on, or what else the entry is about.
        """
        log.info("experiment %s %s by %s: %s", record.id, event, actor, reason)
        self.store.look(record, time.time(), event, reason, seen)
        self.audit(record, actor, event, reason, seen)

    def audit(
        self,
        record: ExperimentRecord,
        actor: str,
        event: str,
        reason: str,
        seen: Seen,
        **more: str,
    ) -> None:
        """Add an entry to the audit log only.

        Args:
            record: of the experiment.
            actor: who decided.
            event: what was decided.
            reason: for people.
            seen: the figures that it was decided on, or what else the entry is about.
            more: fields that the entry has besides.
        """
        figures = seen_document(seen)
        detail = {"experiment": record.id, "reason": reason, "figures": figures, **more}
        self._audit.record(actor, f"{record.strategy} {event}", record.model, detail)
