"""Plans: every change makes the next serial, is signed, published and audited with its evidence.

A plan is stored before it is published: one that a kill or a full disk left unpublished goes out
when the hub starts, and in its loop, whichever worker stored it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.engine import afterwards, reading, transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.plans.error_bound import largest_error
from cloud_hub.plans.tables import plans
from cloud_hub.registry.per_model import for_each
from cloud_hub.registry.tables import models
from edge_sdk.contract.personal.session_features import SessionFeatures
from edge_sdk.contract.plan import PackRef, Plan, ReleaseRef
from edge_sdk.contract.serving_terms import Reporting

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.registry.service import Registry

log = logging.getLogger(__name__)

FeaturesOf = Callable[[str, str], PackRef | None]
"""Gives the signed file of batch features for a model's version, ``None`` if there are none."""

SessionsOf = Callable[[str], SessionFeatures | None]
"""Gives the session features that are declared for a model."""

Objection = Callable[[str, str], str]
"""Says what speaks against letting a model's version serve everybody; empty if nothing does."""


_expected: ContextVar[tuple[str, int] | None] = ContextVar("plan that is changed", default=None)


@contextlib.contextmanager
def expecting(model: str, serial: int) -> Iterator[None]:
    """Refuse to change a plan within the block unless it is the one that somebody has seen.

    Whoever decides by a page, or by a dry run, decides about the plan that was shown there. The
    serial is compared where the next plan is made, so nothing can come in between.

    Args:
        model: whose plan it is.
        serial: of the plan that was seen; 0 if there was none.
    """
    token = _expected.set((model, serial))
    try:
        yield
    finally:
        _expected.reset(token)


def _check_expected(model: str, serial: int) -> None:
    """Raise Conflict if somebody decided about another plan than the newest."""
    expected = _expected.get()
    if expected is not None and expected[0] == model and expected[1] != serial:
        raise Conflict(
            f"{model}: the plan changed meanwhile, from serial {expected[1]} to {serial}; "
            "look at it again, nothing was done"
        )


@dataclass(frozen=True)
class PlanPreview:
    """The change that a promotion or a rollback makes.

    Attributes:
        model: whose plan changes.
        serving: version that serves now; ``None`` if none does.
        serves_next: version that serves afterwards.
        ends: experiment that ends; ``None`` if none runs.
        changes: false if the plan stays as it is.
    """

    model: str
    serving: str | None
    serves_next: str
    ends: str | None
    changes: bool


class Plans:
    """The plan of every model, and its history.

    Args:
        engine: of the hub's database.
        audit: where changes are noted.
        registry: versions, policies and the signed repository.
        features_of: batch features that a plan names beside a version.
        personalised: gives a plan the terms of personalisation, and its releases their priors.
        sessions_of: session features that a plan declares.
        objection: asked before a person promotes a version.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        *,
        features_of: FeaturesOf,
        personalised: Callable[[Plan], Plan],
        sessions_of: SessionsOf,
        objection: Objection,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._registry = registry
        # Serial of the plan that devices see, as far as this worker has looked.
        self._published: dict[str, int] = {}
        self._features_of = features_of
        self._personalised = personalised
        self._sessions_of = sessions_of
        self._objection = objection

    def current(self, model: str) -> Plan | None:
        """Return the newest plan, or ``None``."""
        query = select(plans.c.plan).where(plans.c.model == model)
        with reading(self._engine) as db:
            text = db.execute(query.order_by(plans.c.serial.desc()).limit(1)).scalar()
        return None if text is None else _parsed(text)

    def history(self, model: str, limit: int = 100) -> list[Plan]:
        """Return plans, newest first."""
        query = select(plans.c.plan).where(plans.c.model == model)
        with reading(self._engine) as db:
            rows = db.execute(query.order_by(plans.c.serial.desc()).limit(limit)).scalars()
            return [Plan.from_json(text.encode()) for text in rows]

    def served(self, model: str) -> list[ReleaseRef]:
        """Return the versions that have served, each as it did last, newest first."""
        found: dict[str, ReleaseRef] = {}
        # A rare day with a canary each hour makes hundreds of plans, of versions that went back.
        for plan in self.history(model, limit=1_000):
            found.setdefault(plan.serving.version, plan.serving)
        return list(found.values())

    def reference(self, model: str, version: str, pack: PackRef | None = None) -> ReleaseRef:
        """Return how a plan names a version.

        Args:
            model: name of the line.
            version: one of its published versions.
            pack: precomputed answers that devices download with it.

        Raises:
            NotFound: the version is not published.
        """
        manifest = self._registry.version(model, version).manifest
        return ReleaseRef(version, manifest, pack, self._features_of(model, version))

    def preview_promotion(
        self, model: str, version: str, *, override: str | None = None
    ) -> PlanPreview:
        """Return what :meth:`promote` with these arguments would do; raises as that does.

        Args:
            model: name of the line.
            version: one of its published versions.
            override: reason to promote a version that an experiment has just taken back.
        """
        record = self._registry.version(model, version)
        current = self.current(model)
        preview = _preview(model, current, version)
        # A call that is repeated because its answer was lost is not refused: it is done already.
        if preview.changes and not override and record.status == "rolled_back":
            objection = self._objection(model, version)
            if objection:
                raise Conflict(
                    f"{model} {version}: {objection}; look at that first, or insist with "
                    "--override REASON"
                )
        return preview

    def promote(
        self,
        model: str,
        version: str,
        *,
        actor: str,
        reason: str,
        evidence: Any = None,
        override: str | None = None,
    ) -> Plan:
        """Let a version serve everybody; a running experiment ends.

        A version that serves already, with no experiment beside it, stays: the plan is returned as
        it is, so that a call whose answer was lost may be repeated.

        Args:
            model: name of the line.
            version: one of its published versions.
            actor: who wants it.
            reason: why, for the audit log.
            evidence: figures that led to it, as plain JSON.
            override: reason to promote a version that an experiment has just taken back.

        Raises:
            NotFound: the version is not published.
            Conflict: an experiment took it back, and ``override`` gives no reason.
        """
        preview = self.preview_promotion(model, version, override=override)
        current = self.current(model)
        if current is not None and not preview.changes:
            return current
        serves = current is not None and current.serving.version == version
        # What serves keeps its pack; another version has none yet.
        reference = current.serving if current and serves else self.reference(model, version)
        with transaction(self._engine):
            plan = self._change(
                model,
                lambda plan: replace(plan, serving=reference, experiment=None),
                first=reference,
                actor=actor,
                reason=reason,
                evidence=evidence,
                override=override,
            )
            self._mark(model, version, current)
            afterwards(
                self._engine, lambda: log.info("%s %s promoted by %s", model, version, actor)
            )
        return plan

    def preview_rollback(self, model: str) -> PlanPreview:
        """Return what :meth:`rollback` would do; raises as that does."""
        current = self._require(model)
        if current.experiment is not None:
            return _preview(model, current, current.serving.version)
        return _preview(model, current, self._served_before(current).version)

    def rollback(self, model: str, *, actor: str, reason: str) -> Plan:
        """End the running experiment, or go back to the version that served before.

        A version that was rolled back itself is passed over: a second call goes further back.

        Args:
            model: name of the line.
            actor: who wants it.
            reason: why, for the audit log.

        Raises:
            NotFound: the model has no plan.
            Conflict: no such version is left.
        """
        current = self._require(model)
        if current.experiment is not None:
            return self.change(
                model, lambda plan: replace(plan, experiment=None), actor=actor, reason=reason
            )
        before = self._served_before(current)
        before = replace(before, features=self._features_of(model, before.version))
        return self.go_back(current, before, actor=actor, reason=reason)

    def go_back(
        self,
        seen: Plan,
        before: ReleaseRef,
        *,
        actor: str,
        reason: str,
        evidence: Any = None,
    ) -> Plan:
        """Let a version of before serve, in place of one that is rolled back by that.

        Args:
            seen: the plan of which that was decided, without an experiment.
            before: the version of before.
            actor: who wants it.
            reason: why, for the audit log.
            evidence: figures that led to it, as plain JSON.

        Raises:
            Conflict: somebody changed the plan meanwhile.
        """

        def edit(plan: Plan) -> Plan:
            if plan.serial != seen.serial:
                raise Conflict(f"{plan.model}: the plan changed meanwhile, try again")
            return replace(plan, serving=before)

        model, serving = seen.model, seen.serving.version
        with transaction(self._engine):
            plan = self.change(model, edit, actor=actor, reason=reason, evidence=evidence)
            self._registry.set_status(model, serving, "rolled_back")
            self._registry.set_status(model, before.version, "serving")
            names = (model, serving, before.version, actor)
            afterwards(self._engine, lambda: log.info("%s %s rolled back to %s by %s", *names))
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
        """Make and publish the next plan of a model that has one.

        Args:
            model: name of the line.
            edit: gives the next plan for the current one; the serial is set afterwards.
            actor: who wants it.
            reason: why, for the audit log.
            evidence: figures that led to it, as plain JSON.

        Raises:
            NotFound: the model has no plan.
            Conflict: somebody else changed the plan at the same moment.
        """
        self._require(model)
        return self._change(model, edit, first=None, actor=actor, reason=reason, evidence=evidence)

    def tick(self, now: float) -> None:
        """Publish what could not be published when it was decided: a full disk, say."""
        newest = select(func.max(plans.c.serial)).where(plans.c.model == models.c.model)
        with reading(self._engine) as db:
            # One look into an index for each model, however many plans it has had.
            rows = db.execute(select(models.c.model, newest.scalar_subquery())).all()
        seen = self._published
        for_each(
            sorted(m for m, serial in rows if serial and serial != seen.get(m)), self.republish
        )

    def republish_all(self) -> None:
        """Publish plans that were stored and not published: the hub was killed in between."""
        for model in self._registry.models():
            try:
                self.republish(model)
            except Conflict as error:  # the clock: a hub that may not sign still serves, says why
                log.error("%s: the plan waits; %s", model, error)

    def republish(self, model: str) -> None:
        """Publish the newest plan, unless devices see it already."""
        # Forgotten before: what raises below is tried again by the loop.
        self._published.pop(model, None)
        # One at a time, and read within: else an older plan could be published over a newer one.
        with exclusive(self._engine, "plans"):
            plan = self.current(model)
            if plan is None:
                return
            if not self._registry.repository.has_plan(plan):
                self._registry.repository.publish_plan(plan)
                log.info("%s: plan %d signed and published", model, plan.serial)
        self._published[model] = plan.serial

    def _require(self, model: str) -> Plan:
        plan = self.current(model)
        if plan is None:
            raise NotFound(f"{model}: has no plan yet; promote a version first")
        return plan

    def _change(
        self,
        model: str,
        edit: Callable[[Plan], Plan],
        *,
        first: ReleaseRef | None,
        actor: str,
        reason: str,
        evidence: Any,
        override: str | None = None,
    ) -> Plan:
        current = self.current(model)
        _check_expected(model, current.serial if current is not None else 0)
        if current is None:
            assert first is not None
            current, serial = Plan(model, 1, first), 1
        else:
            serial = current.serial + 1
        policy = self._registry.policy(model)
        plan = replace(
            edit(current),
            serial=serial,
            sharing=policy.sharing,
            cascade=policy.cascade,
            providers=policy.providers,
            sessions=self._sessions_of(model),
        )
        plan = self._personalised(plan)
        plan = replace(plan, reporting=self._reporting(policy.reporting, model, plan.serving))
        detail: dict[str, Any] = {"serial": serial, "reason": reason}
        detail["serving"] = plan.serving.version
        if plan.experiment is not None:
            detail["experiment"] = plan.experiment.id
        if override is not None:
            detail["override"] = override
        with transaction(self._engine):
            self._store(plan, actor, reason)
            self._audit.record(actor, "plan", model, {**detail, "evidence": evidence})
            # Devices must never see a plan that this database may still lose.
            afterwards(self._engine, lambda: self.republish(model))
        return plan

    def _reporting(self, declared: Reporting, model: str, serving: ReleaseRef) -> Reporting:
        """The policy's rules, with the largest error that counts where it names none."""
        if declared.largest_error is not None:
            return declared
        release = self._registry.release(model, serving.version)
        if release.manifest.task != "regression":
            return declared
        bound = largest_error(release.profile(), release.manifest.metrics.get("score"))
        return replace(declared, largest_error=bound)

    def _served_before(self, current: Plan) -> ReleaseRef:
        """Return what served before; raises Conflict if no version is left."""
        model, serving = current.model, current.serving.version
        # Else two rollbacks would go to and fro between two versions that are both bad.
        passed = {r.version for r in self._registry.versions(model) if r.status == "rolled_back"}
        passed.add(serving)
        for release in self.served(model):
            if release.version not in passed:
                return release
        raise Conflict(
            f"{model}: no other version served before {serving} that was not rolled back itself; "
            "promote one"
        )

    def _store(self, plan: Plan, actor: str, reason: str) -> None:
        """Insert a plan. The serial is the lock: of two changes at once, one fails here."""
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


def _preview(model: str, current: Plan | None, version: str) -> PlanPreview:
    serving = current.serving.version if current else None
    ends = current.experiment.id if current and current.experiment else None
    return PlanPreview(model, serving, version, ends, serving != version or ends is not None)


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Plan:
    """A stored plan; that of each model is asked for many times in each tick of the loop."""
    return Plan.from_json(text.encode())
