"""Priors that the hub fits by itself: for what a run made, and for what a plan names without one.

The rows are those of the newest version of a data set that has the policy's column of units.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cloud_hub.datasets.records import HOLDOUT, TRAIN
from cloud_hub.errors import Conflict, HubFault, Invalid
from cloud_hub.personalise.fit_request import FitRequest
from cloud_hub.personalise.in_plans import manifests_of
from cloud_hub.personalise.job import with_half_lives
from cloud_hub.registry.per_model import for_each
from edge_sdk.errors import EdgeError

if TYPE_CHECKING:
    from cloud_hub.datasets.records import DatasetRecord
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.personalise.service import Personalise
    from cloud_hub.personalise.store import PriorRecord
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry

log = logging.getLogger(__name__)

ACTOR: Final = "hub"

UNITS: Final = "units"
"""Name of the data set whose rows no training gets: on them a release is as sure as it will be."""

NAMES: Final = (UNITS, HOLDOUT, TRAIN)
"""Data sets in which the column of units is looked for, in this order."""

LABEL: Final = "y"

AGAIN_SECONDS: Final = 86_400.0
"""After which a fit that failed is tried again: it may have been the disk, or a worker's end."""


class AutomaticPriors:
    """Fits of all models that nobody has to ask for.

    Args:
        personalise: fits and publishes.
        registry: versions and policies.
        plans: whose releases get priors.
        datasets: rows.
    """

    def __init__(
        self, personalise: Personalise, registry: Registry, plans: Plans, datasets: Datasets
    ) -> None:
        self._personalise = personalise
        self._registry = registry
        self._plans = plans
        self._datasets = datasets
        self._behind: set[str] = set()

    def tick(self, now: float) -> None:
        """Bring the plans in step with policies, and fit what is missing."""
        for_each(self._registry.models(), self._follow)

    def prepare(self, model: str, version: str) -> None:
        """Fit a prior for a version that a run has just made; never raises.

        Args:
            model: name of the line.
            version: that was published.
        """
        try:
            if self._personalise.terms(model) is not None:
                self._fit_if_due(model, version, foreign=True)
        except Exception:  # a prior is an extra: whatever happens here, the release goes out
            log.exception("%s %s goes out without a personal prior", model, version)

    def _follow(self, model: str) -> None:
        plan = self._plans.current(model)
        if plan is None:
            return
        adapts, wanted = self._personalise.terms(model) is not None, manifests_of(plan)
        for version in self._registry.versions(model) if adapts else ():
            if version.manifest in wanted:
                self._fit_if_due(model, version.version, foreign=False)
        self._catch_up(model)  # before what a damaged prior makes fail
        if adapts:
            self._renew_settings(model, wanted)

    def _catch_up(self, model: str) -> None:
        """Make the plan that somebody's change should have made, and a kill or a conflict did not.

        Only at the second look: whoever changes a policy makes the plan that goes with it.
        """
        if not self._personalise.is_behind(model):
            self._behind.discard(model)
        elif model not in self._behind:
            self._behind.add(model)
        else:
            self._personalise.renew(model, actor=ACTOR, reason="personalisation as it holds now")

    def _fit_if_due(self, model: str, version: str, *, foreign: bool) -> None:
        """Fit a prior to rows that this version had none of yet."""
        column = self._registry.policy(model).personalise.unit_column
        rows = None if column is None else self._rows(model, column)
        if column is None or rows is None:
            return
        manifest = self._registry.version(model, version).manifest
        tried = [r.source for r in self._personalise.store.records(model) if r.manifest == manifest]
        failed = self._personalise.store.failure(model, manifest)
        if failed is not None and time.time() - failed.at < AGAIN_SECONDS:
            tried.append(failed.source)
        if rows.ref in tried:
            return
        label = next((c.name for c in rows.columns if c.role == "label"), LABEL)
        request = FitRequest(column, label, rows.ref, foreign=foreign)
        try:
            raw = self._registry.blobs.get(rows.blob)
            if hashlib.sha256(raw).hexdigest() != rows.blob:
                raise Invalid(f"{rows.ref}: its file is damaged; add the rows again")
            self._personalise.fit(model, version, io.BytesIO(raw), request, actor=ACTOR)
        except Conflict as error:  # somebody published at this moment: the next look fits again
            log.info("%s %s: %s waits for the loop; %s", model, version, rows.ref, error)
        except (HubFault, EdgeError, OSError) as error:
            self._personalise.note_failure(model, manifest, rows.ref, error)

    def _rows(self, model: str, column: str) -> DatasetRecord | None:
        """Return the data set that has the column of units, if one does."""
        for name in NAMES:
            record = self._datasets.newest(model, name)
            columns = {each.name for each in record.columns} if record is not None else set()
            if record is not None and record.blob and column in columns:
                return record
        return None

    def _renew_settings(self, model: str, manifests: tuple[str, ...]) -> None:
        """Make a next generation of priors whose half-lives are not the policy's any more."""
        policy = self._registry.policy(model).personalise
        if policy.half_life_labels is None and policy.half_life_days is None:
            return
        for manifest in manifests:
            record = self._personalise.store.newest(model, manifest)
            if record is not None:
                self._renew(record, policy.half_life_labels, policy.half_life_days)

    def _renew(self, record: PriorRecord, labels: float | None, days: float | None) -> None:
        prior = self._personalise.prior(record)
        settings = with_half_lives(prior.settings, labels, days)
        if settings == prior.settings:
            return
        self._personalise.publish(
            replace(prior, settings=settings), figures=record.figures, verdict=record.verdict,
            said=("half-lives as the policy says now",), source=record.source, actor=ACTOR,
        )  # fmt: skip
