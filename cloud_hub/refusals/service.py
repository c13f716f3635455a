"""Watches whether devices take the releases that serve: alarms, and goes back where most do not.

Going back is one transaction: the plan, the statuses of both versions, the alarm and the audit's
entry with the figures that led to it. A hub that is killed at any moment has done all or nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine

from cloud_hub.database.engine import transaction
from cloud_hub.errors import HubFault
from cloud_hub.fleet.health import lost_after
from cloud_hub.refusals.decision import Refusals, counted, decide
from cloud_hub.refusals.events import EventReader, Watched
from cloud_hub.registry.per_model import for_each
from edge_sdk.errors import EdgeError

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.fleet.service import Fleet
    from cloud_hub.monitoring.service import Monitoring
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.refusals import RefusalPolicy
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.plan import Plan, ReleaseRef

log = logging.getLogger(__name__)

ACTOR: Final = "hub"
TAKEN_BACK: Final = "refused release"
"""The audit's action where a version went back."""

LOOK_SECONDS: Final = 30.0
"""Between two looks at a release that some refuse and of which nothing new came: devices that have
not tried it may be lost by now."""


class RefusedReleases:
    """Refusals of the versions that serve, of all models."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        fleet: Fleet,
        monitoring: Monitoring,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._fleet = fleet
        self._monitoring = monitoring
        self._events = EventReader(engine)
        self._pending: dict[str, float] = {}

    def tick(self, now: float) -> None:
        """Look at the models of which devices said something, or may have gone silent.

        Raises:
            ExceptionGroup: some models failed; the others had their turn.
        """
        news = self._events.news()
        for model in self._registry.models() if news is None else news:
            self._pending[model] = 0.0
        due = [m for m, at in self._pending.items() if not 0 <= now - at < LOOK_SECONDS]
        for_each(due, lambda model: self._look(model, now))

    def objection(self, model: str, version: str) -> str:
        """Say what speaks against promoting a version that devices refused; empty if nothing does.

        Args:
            model: name of the model.
            version: one of its versions.
        """
        entries = self._audit.entries(model, limit=20, action=TAKEN_BACK)
        found = [entry for entry in entries if entry.detail["version"] == version]
        return f"it was taken back: {found[-1].detail['reason']}" if found else ""

    def _look(self, model: str, now: float) -> None:
        # Noted before: a look that fails comes again, and not at each tick.
        self._pending[model] = now
        plan = self._plans.current(model)
        watched = None if plan is None else self._events.watched(model, plan.serial)
        if plan is None or watched is None or not any(s.refused for s in watched.steps.values()):
            self._pending.pop(model)
            return
        policy = self._registry.policy(model).refusals
        seen = self._counted(model, watched, now)
        before = self._before(plan) if self._may_go_back(plan, watched, policy) else None
        action = decide(seen, policy, can_go_back=before is not None)
        if action == "go_back" and before is not None:
            self._go_back(plan, before, seen, now)
        elif action == "alarm":
            self._alarm(model, plan.serving.version, seen, now)

    def _counted(self, model: str, watched: Watched, now: float) -> Refusals:
        members = [d for d in self._fleet.participants(model) if d.standing == "active"]
        voters = {member.device: member.vouched_by or member.device for member in members}
        reachable = {m.device for m in members if now - m.seen_at <= lost_after(m.interval)}
        return counted(watched.steps, voters, reachable)

    def _may_go_back(self, plan: Plan, watched: Watched, policy: RefusalPolicy) -> bool:
        return policy.go_back and plan.experiment is None and not watched.period.again

    def _before(self, plan: Plan) -> ReleaseRef | None:
        """Return what served before, whole and as it did; ``None`` if there is nothing."""
        try:
            version = self._plans.preview_rollback(plan.model).serves_next
            self._registry.release(plan.model, version)
            features = self._plans.reference(plan.model, version).features
        except (HubFault, EdgeError) as error:
            log.debug("%s: nothing to go back to; %s", plan.model, error)
            return None
        served = next(each for each in self._plans.served(plan.model) if each.version == version)
        return replace(served, features=features)

    def _go_back(self, plan: Plan, before: ReleaseRef, seen: Refusals, now: float) -> None:
        self._registry.repository.check_clock()
        model, version, figures = plan.model, plan.serving.version, asdict(seen)
        reason = f"{sentence(seen)}; {before.version} serves again"
        with transaction(self._engine):
            self._plans.go_back(plan, before, actor=ACTOR, reason=reason, evidence=figures)
            self._alarm(model, version, seen, now, went_back_to=before.version)
            detail = {"version": version, "before": before.version, "reason": sentence(seen)}
            self._audit.record(ACTOR, TAKEN_BACK, model, {**detail, "evidence": figures})
        log.warning("%s %s: %s", model, version, reason)

    def _alarm(self, model: str, version: str, seen: Refusals, now: float, **more: str) -> None:
        """Raise the alarm; one that was acknowledged only when more devices refuse than then."""
        signal = f"refused:{version}"
        known = [a for a in self._monitoring.alarms(model, open_only=False) if a.signal == signal]
        answered = known and known[-1].acknowledged_at is not None
        if answered and seen.refused <= known[-1].evidence["refused"] and not more:
            return
        evidence: Mapping[str, Any] = {**asdict(seen), "share": seen.refused / seen.tried, **more}
        self._monitoring.raise_alarm(model, version, signal, evidence, now)


def sentence(seen: Refusals) -> str:
    """Say how a release fares, with the most frequent reason."""
    why = f": {seen.reasons[0][0]}" if seen.reasons else ""
    voters = (
        f" ({seen.voters_refused} of {seen.voters_tried} voters)"
        if (seen.voters_refused, seen.voters_tried) != (seen.refused, seen.tried)
        else ""
    )
    return f"{seen.refused} of {seen.tried} devices refused it{voters}{why}"
