"""What a plan says of personalisation: its terms, and which releases come with a prior. Pure.

Invariants:

* Without terms devices serve the release's own answers after their next sync, and no release has a
  prior.
* An experiment that tries personalisation itself has one release with its prior and without it.
  Which of them has one stays as the experiment was declared, without terms too, so that it still
  is what it was when they come back; only its generation follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sdk.contract.plan import Plan, PriorRef, ReleaseRef
    from edge_sdk.contract.serving_terms import Personalisation

NewestPrior = Callable[[str], "PriorRef | None"]
"""Gives the newest prior of a release by the SHA-256 of its manifest."""


def personalised(plan: Plan, terms: Personalisation | None, newest: NewestPrior) -> Plan:
    """Return a plan with these terms, and each release with the prior that it is to have.

    Args:
        plan: as it is declared.
        terms: of personalisation; ``None`` for none.
        newest: prior of a release.
    """
    tried = tries_personalisation(plan)

    def renewed(ref: ReleaseRef) -> ReleaseRef:
        if tried and (terms is None or ref.prior is None):
            return ref
        if terms is None:
            return replace(ref, prior=None)
        return replace(ref, prior=newest(ref.manifest))

    experiment = plan.experiment
    if experiment is not None:
        arms = tuple(replace(arm, release=renewed(arm.release)) for arm in experiment.arms)
        dropped = tuple(replace(arm, release=renewed(arm.release)) for arm in experiment.dropped)
        experiment = replace(experiment, arms=arms, dropped=dropped)
    serving = renewed(plan.serving)
    return replace(plan, serving=serving, experiment=experiment, personalise=terms)


def tries_personalisation(plan: Plan) -> bool:
    """Return whether the plan's experiment has one release with its prior and without it."""
    if plan.experiment is None:
        return False
    arms = (arm.release for arm in plan.experiment.declared)
    found = {(ref.manifest, ref.prior is not None) for ref in (plan.serving, *arms)}
    return any((manifest, not given) in found for manifest, given in found)


def manifests_of(plan: Plan) -> tuple[str, ...]:
    """Return the releases that a plan names, by the SHA-256 of their manifests."""
    arms = () if plan.experiment is None else plan.experiment.arms
    return tuple(dict.fromkeys((plan.serving.manifest, *(a.release.manifest for a in arms))))
