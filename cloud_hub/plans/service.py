"""Plans: every change makes the next serial, is signed, published and audited with its evidence.

A plan is kept before it is published: one that a kill or a full disk left unpublished goes out when
the hub starts, and in its loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Engine, Float, Integer, String, Table, Text, insert, select
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import afterwards, metadata, reading, transaction
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.registry.per_model import for_each
from cloud_hub.registry.service import Registry
from edge_sdk.contract.plan import PackRef, Plan, ReleaseRef

plans = Table(
    "plans",
    metadata,
    Column("model", String, primary_key=True),
    Column("serial", Integer, primary_key=True),
    Column("plan", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
)


FeaturesOf = Callable[[str, str], PackRef | None]
"""Gives the signed file of batch features for a model's version, ``None`` if there are none."""


class Plans:
    """The plan of every model, and its history."""

    def __init__(
        self, engine: Engine, audit: Audit, registry: Registry, *, features_of: FeaturesOf
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._registry = registry
        self._owed: set[str] = set()
        self._features_of = features_of

    def current(self, model: str) -> Plan | None:
        """The newest plan, or ``None``."""
        history = self.history(model, limit=1)
        return history[0] if history else None

    def history(self, model: str, limit: int = 100) -> list[Plan]:
        """Plans, the newest first."""
        query = select(plans.c.plan).where(plans.c.model == model)
        with reading(self._engine) as db:
            rows = db.execute(query.order_by(plans.c.serial.desc()).limit(limit)).scalars()
            return [Plan.from_json(text.encode()) for text in rows]

    def reference(self, model: str, version: str, pack: PackRef | None = None) -> ReleaseRef:
        """How a plan names a version; raises NotFound."""
        manifest = self._registry.version(model, version).manifest
        return ReleaseRef(version, manifest, pack, self._features_of(model, version))

    def promote(
        self, model: str, version: str, *, actor: str, reason: str, evidence: Any = None
    ) -> Plan:
        """Let ``version`` serve everybody; a running experiment ends."""
        reference = self.reference(model, version)
        current = self.current(model)
        if current is not None and current.serving.version == version:
            if current.experiment is None:
                raise Conflict(f"{model} {version}: serves already")
            reference = current.serving
        with transaction(self._engine):
            plan = self._change(
                model,
                lambda plan: replace(plan, serving=reference, experiment=None),
                first=reference,
                actor=actor,
                reason=reason,
                evidence=evidence,
            )
            self._mark(model, version, current)
        return plan

    def rollback(self, model: str, *, actor: str, reason: str) -> Plan:
        """End the running experiment, or go back to the version that served before.

        A version that was rolled back itself is passed over: a second call goes further back.

        Raises:
            Conflict: no such version is left.
        """
        current = self.current(model)
        if current is None:
            raise NotFound(f"{model}: has no plan")
        if current.experiment is not None:
            return self.change(
                model, lambda p: replace(p, experiment=None), actor=actor, reason=reason
            )
        serving = current.serving
        passed = {r.version for r in self._registry.versions(model) if r.status == "rolled_back"}
        passed.add(serving.version)
        older = (p.serving for p in self.history(model) if p.serving.version not in passed)
        before = next(older, None)
        if before is None:
            raise Conflict(
                f"{model}: no other version served before {serving.version} that was not rolled "
                "back itself; promote one"
            )
        before = replace(before, features=self._features_of(model, before.version))
        with transaction(self._engine):
            plan = self.change(
                model, lambda p: replace(p, serving=before), actor=actor, reason=reason
            )
            self._registry.set_status(model, serving.version, "rolled_back")
            self._registry.set_status(model, before.version, "serving")
        return plan

    def change(
        self,
        model: str,
        edit: Callable[[Plan], Plan],
        *,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Make and publish the next plan of a model that has one; raises NotFound."""
        if self.current(model) is None:
            raise NotFound(f"{model}: has no plan yet; promote a version first")
        return self._change(model, edit, first=None, actor=actor, reason=reason, evidence=evidence)

    def _change(
        self,
        model: str,
        edit: Callable[[Plan], Plan],
        *,
        first: ReleaseRef | None,
        actor: str,
        reason: str,
        evidence: Any,
    ) -> Plan:
        current = self.current(model)
        if current is None:
            assert first is not None
            current = Plan(model, 1, first)
            serial = 1
        else:
            serial = current.serial + 1
        policy = self._registry.policy(model)
        plan = replace(
            edit(current),
            serial=serial,
            reporting=policy.reporting,
            sharing=policy.sharing,
            cascade=policy.cascade,
        )
        detail = {"serial": serial, "reason": reason, "serving": plan.serving.version}
        if plan.experiment is not None:
            detail["experiment"] = plan.experiment.id
        with transaction(self._engine):
            self._keep(plan, actor, reason)
            self._audit.record(actor, "plan", model, {**detail, "evidence": evidence})
            afterwards(self._engine, lambda: self.republish(model))
        return plan

    def tick(self, now: float) -> None:
        """Publish what could not be published when it was decided: a full disk, say."""
        for_each(sorted(self._owed), self.republish)

    def republish(self, model: str) -> None:
        """Publish the newest plan, unless devices see it already."""
        self._owed.add(model)
        plan = self.current(model)
        if plan is not None and not self._registry.repository.has_plan(plan):
            self._registry.repository.publish_plan(plan)
        self._owed.discard(model)

    def _keep(self, plan: Plan, actor: str, reason: str) -> None:
        """The serial is the lock: of two changes at once, one fails here."""
        row = {"model": plan.model, "serial": plan.serial, "plan": plan.to_json().decode()}
        try:
            with transaction(self._engine) as db:
                db.execute(insert(plans).values(**row, at=time.time(), actor=actor, reason=reason))
        except IntegrityError as error:
            raise Conflict(f"{plan.model}: the plan changed meanwhile, try again") from error

    def _mark(self, model: str, version: str, before: Plan | None) -> None:
        if before is not None and before.serving.version != version:
            self._registry.set_status(model, before.serving.version, "retired")
        self._registry.set_status(model, version, "serving")
