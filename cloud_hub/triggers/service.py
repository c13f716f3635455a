"""Evaluating the rules of every model, and remembering what fired.

A rule that fired is latched: it does not fire again until it is acknowledged, or another version
serves; after that it rests for its cool-down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Engine, Float, Integer, String, Table, insert, select
from sqlalchemy import update as change

from cloud_hub.audit import Audit
from cloud_hub.db import metadata
from cloud_hub.errors import NotFound
from cloud_hub.plans.service import Plans
from cloud_hub.policy import TriggerRule
from cloud_hub.registry.service import Registry, VersionRecord
from cloud_hub.telemetry.service import Telemetry
from cloud_hub.triggers import rules
from cloud_hub.triggers.rules import Verdict

firings = Table(
    "firings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("trigger", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("version", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("acknowledged", Boolean, nullable=False, default=False),
)

Firing = dict[str, Any]
OnFire = Callable[[str, Firing, float], None]
"""Called with the model, the firing, and since when rows count as fresh (Unix seconds)."""


class Triggers:
    """Triggers of all models."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        telemetry: Telemetry,
        on_fire: OnFire = lambda model, firing, since: None,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._telemetry = telemetry
        self.on_fire = on_fire

    def tick(self, now: float) -> list[Firing]:
        """Evaluate every rule of every model that serves; the firings."""
        fired = []
        for model in self._registry.models():
            plan = self._plans.current(model)
            if plan is None:
                continue
            serving = self._registry.version(model, plan.serving.version)
            for rule in self._registry.policy(model).triggers:
                if self._may_fire(model, rule, serving, now):
                    firing = self._evaluate(model, rule, serving, now)
                    fired += [firing] if firing else []
        return fired

    def status(self, model: str, now: float) -> list[dict[str, Any]]:
        """Every rule with the evidence as it stands."""
        plan = self._plans.current(model)
        if plan is None:
            return []
        serving = self._registry.version(model, plan.serving.version)
        found = []
        for rule in self._registry.policy(model).triggers:
            verdict = self.judge(model, rule, serving, now)
            row = {"trigger": rule.name, "kind": rule.kind, "would_fire": verdict.fired}
            latched = not self._may_fire(model, rule, serving, now)
            found.append({**row, "latched": latched, "evidence": verdict.evidence})
        return found

    def firings(self, model: str | None = None) -> list[Firing]:
        """What fired, oldest first."""
        query = select(firings).order_by(firings.c.id)
        if model is not None:
            query = query.where(firings.c.model == model)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def acknowledge(self, model: str, trigger: str, actor: str) -> None:
        """Let a latched rule fire again; raises NotFound."""
        where = (firings.c.model == model) & (firings.c.trigger == trigger)
        with self._engine.begin() as db:
            done = db.execute(change(firings).where(where).values(acknowledged=True))
        if not done.rowcount:
            raise NotFound(f"{model}: trigger {trigger!r} has not fired")
        self._audit.record(actor, "trigger acknowledged", model, {"trigger": trigger})

    def judge(self, model: str, rule: TriggerRule, serving: VersionRecord, now: float) -> Verdict:
        """One rule on the evidence as it stands."""
        since = max(serving.published_at, now - rule.lookback_seconds)
        if rule.kind == "time":
            return rules.judge_time(rule, published_at=serving.published_at, now=now)
        if rule.kind == "performance":
            found = self._telemetry.outcomes(model, version=serving.version, since=since)
            return rules.judge_performance(rule, labelled=found.labelled, correct=found.correct)
        if rule.kind == "volume":
            count = self._telemetry.sample_count(model, since=serving.published_at)
            return rules.judge_volume(rule, new_rows=count, training_rows=serving.rows)
        return self._judge_drift(model, rule, serving, since)

    def _judge_drift(
        self, model: str, rule: TriggerRule, serving: VersionRecord, since: float
    ) -> Verdict:
        profile = self._registry.release(model, serving.version).profile()
        watched = (*profile.features, *profile.outputs) if rule.outputs else profile.features
        reference = {feature.name: feature.counts for feature in watched}
        rows = self._telemetry.histogram_rows(model, serving.version, since=since)
        windows = rules.pooled_windows(rows, rule.minimum)
        return rules.judge_drift(rule, reference=reference, windows=windows)

    def _may_fire(self, model: str, rule: TriggerRule, serving: VersionRecord, now: float) -> bool:
        past = [f for f in self.firings(model) if f["trigger"] == rule.name]
        if not past:
            return True
        last = past[-1]
        latched = not last["acknowledged"] and last["version"] == serving.version
        return not latched and now - last["at"] >= rule.cooldown_seconds

    def _evaluate(
        self, model: str, rule: TriggerRule, serving: VersionRecord, now: float
    ) -> Firing | None:
        verdict = self.judge(model, rule, serving, now)
        if not verdict.fired:
            return None
        row = {"model": model, "trigger": rule.name, "kind": rule.kind}
        with self._engine.begin() as db:
            db.execute(
                insert(firings).values(
                    **row,
                    version=serving.version,
                    at=time.time(),
                    evidence=verdict.evidence,
                    acknowledged=False,
                )
            )
        self._audit.record("hub", "trigger fired", model, {**row, "evidence": verdict.evidence})
        firing = {**row, "version": serving.version, "evidence": verdict.evidence}
        since = max(serving.published_at, now - rule.lookback_seconds)
        self.on_fire(model, firing, since)
        return firing
