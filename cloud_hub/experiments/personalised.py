"""Experiments on personalisation itself: what serves, with its personal prior and without. Pure.

Both arms have the same release. So the model's own answers are alike, what gates and monitoring
judge does not move, and only what was served can differ: that is what these experiments compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from cloud_hub.errors import Conflict

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec
    from edge_sdk.contract.plan import Plan, ReleaseRef


def tried_of(spec: ExperimentSpec) -> ArmSpec | None:
    """Return the arm that tries personalisation; ``None`` if the experiment is about versions."""
    return next((arm for arm in spec.tried if arm.personalise is not None), None)


def check_personalised(spec: ExperimentSpec, plan: Plan) -> None:
    """Refuse to compare with and without where there is nothing to compare.

    Raises:
        Conflict: the arm is of another version than what serves, or personalisation serves nobody.
    """
    arm = tried_of(spec)
    if arm is None:
        return
    model, serving = plan.model, plan.serving
    if arm.version != serving.version:
        raise Conflict(
            f"{model} {arm.version}: {serving.version} serves; an arm with or without "
            "personalisation is of the version that serves"
        )
    if serving.prior is None or plan.personalise is None:
        raise Conflict(
            f"{model} {arm.version}: has no personal prior to compare with and without; apply a "
            "policy with personalise, and fit one: edge-hub personalise fit"
        )
    if plan.personalise.mode != "on":
        raise Conflict(
            f"{model}: its policy says personalise: {{mode: {plan.personalise.mode}}}, so nobody "
            "is served a personalised answer; apply one with mode: on"
        )


def no_longer_tried(spec: ExperimentSpec, plan: Plan | None) -> str:
    """Return why a running experiment on personalisation compares nothing any more; else empty.

    Switched off, both arms serve the release's own answers; and switched on again, both would have
    the prior, since nothing in the plan says any more which arm is without.

    Args:
        spec: the declared experiment.
        plan: with it.
    """
    if not spec.tries_personalisation or plan is None or plan.experiment is None:
        return ""
    serves = plan.personalise is not None and plan.personalise.mode == "on"
    with_it = plan.serving.prior is not None
    differ = all((arm.release.prior is not None) != with_it for arm in plan.experiment.arms)
    return "" if serves and differ else "personalisation was switched off: both arms serve the same"


def check_promotion(spec: ExperimentSpec, id_: str) -> None:
    """Refuse to promote an arm that is what serves, with its prior or without.

    Args:
        spec: the declared experiment.
        id_: of the experiment.

    Raises:
        Conflict: it is one.
    """
    if spec.tries_personalisation:
        raise Conflict(
            f"{id_}: tries personalisation, which no version is promoted for; edge-hub "
            "personalise off, or on, says what serves"
        )


def of_versions(arms: Iterable[ArmSpec]) -> list[ArmSpec]:
    """Return the arms of other versions: what serves without its prior still serves."""
    return [arm for arm in arms if arm.personalise is None]


def control_of(spec: ExperimentSpec, plan: Plan) -> ReleaseRef | None:
    """Return what serves while an experiment runs, if that is something else than now.

    It has no prior where the arm has it.

    Args:
        spec: the declared experiment.
        plan: that it changes.
    """
    arm = tried_of(spec)
    with_it = arm is not None and arm.personalise == "with"
    return replace(plan.serving, prior=None) if with_it else None


def references(
    spec: ExperimentSpec, plan: Plan, versions: Mapping[str, ReleaseRef]
) -> dict[str, ReleaseRef]:
    """Return the release of each arm, by its name.

    Args:
        spec: the declared experiment.
        plan: that it changes.
        versions: how a plan names each version.
    """
    found = {}
    for arm in spec.tried:
        if arm.personalise is None:
            found[arm.name] = versions[arm.version]
        else:
            # What serves, pack and all: nothing but the prior may differ.
            prior = plan.serving.prior if arm.personalise == "with" else None
            found[arm.name] = replace(plan.serving, prior=prior)
    return found
