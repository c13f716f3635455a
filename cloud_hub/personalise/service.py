"""Personal priors of models: fitted, signed, handed to devices with the next plan; and the switch.

Invariants:

* A prior is for one release. A plan names with each release its own newest one, and none where
  personalisation is off; so a device that follows the plan serves no correction then.
* What is wrong with a fit stops no release: it is told, and the release goes out without a prior.
* Rows of units stay at the hub that was given them; devices get what a fit made of all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final

from sqlalchemy.exc import IntegrityError

from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.packs.publishing import sign_files
from cloud_hub.personalise.answering import basis_for
from cloud_hub.personalise.fit_request import FitRequest
from cloud_hub.personalise.fitting_apart import fit_apart
from cloud_hub.personalise.in_plans import personalised
from cloud_hub.personalise.job import FitJob, may_keep_basis
from cloud_hub.personalise.rankings import Rankings
from cloud_hub.personalise.store import FailedFit, PriorRecord, PriorStore, Switch
from cloud_hub.registry.roles import RELEASES
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.contract.plan import Plan, PriorRef
from edge_sdk.errors import ContractError, EdgeError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.database.audit import Audit
    from cloud_hub.isolation.workers import Workers
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.personalise import PersonalisePolicy
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.serving_terms import Personalisation
    from edge_sdk.model.release import Release

log = logging.getLogger(__name__)

ACTION: Final = "personalise"
BEGINS_ANEW: Final = "units begin anew: their sums would mean something else with this prior"
KEEP: Final = "units keep what was learned of them"


@dataclass(frozen=True)
class PersonalStatus:
    """Personalisation of a model.

    Attributes:
        model: name of the line.
        mode: that the policy says.
        switched_off: by a person, whatever the policy says; ``None`` if nobody did.
        plan: whether devices are told to personalise.
        named: by version, the generation that the plan hands out.
        failures: by version, why the hub could not fit a prior by itself.
        generations: newest first.
    """

    model: str
    mode: str
    switched_off: Switch | None
    plan: bool
    named: Mapping[str, int]
    failures: Mapping[str, FailedFit]
    generations: tuple[PriorRecord, ...]


class Personalise:
    """Personalisation of all models.

    Args:
        engine: of the hub's database.
        audit: where fits and switches are noted.
        registry: releases, policies, blobs and the signed repository.
        plans: which name priors.
        workers: fit them.
    """

    def __init__(
        self, engine: Engine, audit: Audit, registry: Registry, plans: Plans, workers: Workers
    ) -> None:
        self.store, self.rankings = PriorStore(engine), Rankings(engine)
        self._engine, self._audit, self._registry = engine, audit, registry
        self._plans, self._workers = plans, workers

    def terms(self, model: str) -> Personalisation | None:
        """Return what plans of a model say; ``None`` if it is off."""
        if self.store.switch(model) is not None:
            return None
        return self._policy(model).terms

    def in_plan(self, plan: Plan) -> Plan:
        """Return a plan with the terms that hold, and each release with its newest prior."""

        def newest(manifest: str) -> PriorRef | None:
            record = self.store.newest(plan.model, manifest)
            return None if record is None else record.ref

        return personalised(plan, self.terms(plan.model), newest)

    def status(self, model: str) -> PersonalStatus:
        """Return how a model is personalised."""
        plan, records = self._plans.current(model), self.store.records(model)
        by_digest = {record.sha256: record.generation for record in records}
        arms = plan.experiment.arms if plan is not None and plan.experiment is not None else ()
        refs = [] if plan is None else [plan.serving, *(arm.release for arm in arms)]
        failures = {ref.version: self.store.failure(model, ref.manifest) for ref in refs}
        return PersonalStatus(
            model,
            self._policy(model).mode,
            self.store.switch(model),
            plan is not None and plan.personalise is not None,
            {r.version: by_digest.get(r.prior.file.sha256, 0) for r in refs if r.prior is not None},
            {version: failed for version, failed in failures.items() if failed is not None},
            tuple(reversed(records)),
        )

    def fit(
        self, model: str, version: str | None, rows: BinaryIO, request: FitRequest, *, actor: str
    ) -> PriorRecord:
        """Fit the next generation of a prior, and let devices have it with the next plan.

        Args:
            model: name of the line.
            version: of it; ``None`` for the one that serves.
            rows: CSV, Parquet or ``.npz``, at its beginning.
            request: what the rows are.
            actor: who brings them.

        Raises:
            NotFound: no such version, or nothing serves.
            Invalid: the rows or the model do not do, or this hub holds no key to sign a prior.
            Conflict: another fit of the model ended meanwhile.
        """
        release = self._release(model, version)
        basis_for(release.manifest)
        # Before the fit, which takes long: without the key nothing can come of it.
        self._registry.repository.signer(RELEASES)
        policy = self._policy(model)
        job = FitJob(
            request.unit, request.label, policy.cohort, policy.half_life_labels,
            policy.half_life_days,
        )  # fmt: skip
        before, first = self._before(model, release)
        before = None if request.anew else before
        prior, result = fit_apart(
            self._workers, release, rows, job, before, foreign=request.foreign
        )
        states = () if first else (KEEP if before else BEGINS_ANEW,)
        return self.publish(
            prior, figures=result.figures, verdict=result.verdict, said=(*result.said, *states),
            source=request.source, actor=actor,
        )  # fmt: skip

    def publish(
        self,
        prior: PersonalPrior,
        *,
        figures: Mapping[str, float],
        verdict: str,
        said: Sequence[str] = (),
        source: str,
        actor: str,
    ) -> PriorRecord:
        """Sign a prior and let devices have it with the next plan.

        Args:
            prior: of whatever generation; it becomes the model's next.
            figures: of how it was made.
            verdict: whether it helps, in words.
            said: what else a person should know, in sentences.
            source: what it was made of, in words.
            actor: who had it made.

        Raises:
            Invalid: this hub holds no releases key.
            Conflict: another prior became that generation meanwhile.
        """
        prior = replace(prior, generation=self.store.next_generation(prior.model))
        raw = prior.to_bytes()
        ref = PriorRef(FileRef(len(raw), self._registry.blobs.put(raw)))
        sign_files(self._registry, {ref.target(prior.model): raw})
        record = PriorRecord(
            prior.model, prior.generation, prior.version, prior.manifest, ref.file.sha256, len(raw),
            prior.basis, prior.basis_digest, prior.helps, figures, verdict, tuple(said),
            source[:500], time.time(), actor,
        )  # fmt: skip
        try:
            with transaction(self._engine):
                self.store.add(record)
                detail = {
                    "generation": record.generation, "version": record.version,
                    "helps": record.helps, "source": record.source, "sha256": record.sha256,
                }  # fmt: skip
                self._audit.record(actor, f"{ACTION} prior", prior.model, detail)
        except IntegrityError as error:
            raise Conflict(
                f"{prior.model}: another prior became generation {prior.generation} meanwhile; "
                "fit again"
            ) from error
        log.info(
            "%s %s: generation %d of the personal prior, by %s; %s",
            *(prior.model, prior.version, prior.generation, actor, verdict),
        )
        self.renew(prior.model, actor=actor, reason=f"personal prior {record.generation}")
        return record

    def renew(self, model: str, *, actor: str, reason: str) -> bool:
        """Make the next plan, if what holds now is not what the current one says.

        Somebody who makes another plan at the same moment is first; the loop looks again.
        """
        if not self.is_behind(model):
            return False
        try:
            self._plans.change(model, lambda current: current, actor=actor, reason=reason)
        except Conflict as error:
            log.info("%s: %s waits for the loop; %s", model, reason, error)
            return False
        return True

    def is_behind(self, model: str) -> bool:
        """Return whether the current plan says something else than holds now."""
        plan = self._plans.current(model)
        return plan is not None and self.in_plan(plan) != plan

    def switch(self, model: str, *, on: bool, actor: str, reason: str) -> PersonalStatus:
        """Switch a model off whatever its policy says, or leave it to the policy again.

        Raises:
            Conflict: it is to be on, and the policy says that it is off.
        """
        if on and self._policy(model).terms is None:
            raise Conflict(
                f"{model}: its policy says personalise: {{mode: off}}; apply one with mode: on, or "
                "learn"
            )
        with transaction(self._engine):
            self.store.set_switch(model, None if on else Switch(reason, time.time(), actor))
            done = f"{ACTION} {'on' if on else 'off'}"
            self._audit.record(actor, done, model, {"reason": reason})
        self.renew(model, actor=actor, reason=f"{done}: {reason}"[:500])
        return self.status(model)

    def prior(self, record: PriorRecord) -> PersonalPrior:
        """Return the prior of a record.

        Raises:
            Invalid: its file is gone or damaged.
        """
        try:
            return PersonalPrior.from_bytes(self._registry.blobs.get(record.sha256))
        except (NotFound, ContractError) as error:
            raise Invalid(
                f"{record.model}: the file of prior {record.generation} cannot be read; {error}; "
                "fit one anew"
            ) from error

    def note_failure(self, model: str, manifest: str, source: str, error: Exception) -> None:
        """Note that the hub could not fit a prior by itself; nothing else ends with that."""
        reason = str(error)[:2_000]
        self.store.set_failure(model, manifest, FailedFit(source, reason, time.time()))
        self._audit.record("hub", f"{ACTION} fit failed", model, {"of": source, "reason": reason})
        log.warning("%s: no personal prior could be fitted to %s; %s", model, source, reason)

    def _before(self, model: str, release: Release) -> tuple[PersonalPrior | None, bool]:
        """Return the prior whose space is kept, if one is; and whether there was none at all."""
        record = self.store.newest(model)
        if record is None:
            return None, True
        try:
            before = self.prior(record)
            then = self._registry.release(model, record.version).manifest
        except (HubFault, EdgeError):
            return None, False  # what is gone keeps nobody from a new one
        return (before if may_keep_basis(before, then, release.manifest) else None), False

    def _release(self, model: str, version: str | None) -> Release:
        if version is None:
            plan = self._plans.current(model)
            if plan is None:
                raise NotFound(f"{model}: nothing serves yet; name a version")
            version = plan.serving.version
        return self._registry.release(model, version)

    def _policy(self, model: str) -> PersonalisePolicy:
        return self._registry.policy(model).personalise
