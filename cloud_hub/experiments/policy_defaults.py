"""Experiments that a model's policy declares, rather than an ``experiment.yaml``. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from cloud_hub.experiments.verdict.spec import (
    ACCURACY,
    CANDIDATE,
    STEPS,
    ArmSpec,
    Design,
    ExperimentSpec,
    Guardrails,
    LabelRules,
)
from cloud_hub.policy.schema.sections import ExperimentPolicy
from edge_sdk.contract.plan import Outcome


def spec_of(model: str, version: str, policy: ExperimentPolicy) -> ExperimentSpec:
    """Return the experiment with which a model's policy tries a version.

    Args:
        model: name of the model.
        version: to try.
        policy: the experiment section of the model's policy.
    """
    direction: Literal["up", "down"] = "up" if policy.metric == "accuracy" else "down"
    judged = (Outcome(policy.metric, policy.metric, direction, policy.acceptable),)
    half = policy.share if policy.share is not None else 0.5
    ab, canary = policy.strategy == "ab", policy.strategy == "canary"
    paired = not (ab or canary)
    return ExperimentSpec(
        model,
        policy.strategy,
        candidate=None if ab else version,
        arms=(ArmSpec(CANDIDATE, version, half),) if ab else (),
        share=policy.share if paired and policy.share is not None else 1.0,
        steps=policy.steps if canary else STEPS,
        soak_seconds=policy.soak_seconds,
        minimum_outcomes=policy.minimum_labels,
        minimum_devices=max(1, policy.minimum_devices),
        outcomes=ACCURACY if policy.strategy == "interleave" else judged,
        guardrails=Guardrails(max_failed_devices=policy.max_failed_devices),
        design=Design(alpha=policy.alpha),
        labels=LabelRules(policy.label_settle_seconds, policy.label_band),
        approval=policy.approval,
        on_success=policy.on_success,
    )


def canary_of(model: str, version: str, policy: ExperimentPolicy) -> ExperimentSpec:
    """Return a canary with the settings of a model's policy, whichever strategy it names.

    Args:
        model: name of the model.
        version: to try.
        policy: the experiment section of the model's policy.
    """
    return spec_of(model, version, replace(policy, strategy="canary", share=None))
