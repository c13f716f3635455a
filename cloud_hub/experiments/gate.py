"""What a canary's evidence says. Pure, and valid however often it is asked.

Invariants: guardrails abort, success advances, anything inconclusive waits, no data never passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cloud_hub.policy import CanaryPolicy
from cloud_hub.statistics.failures import failure_evidence
from cloud_hub.statistics.sequential import Moments, difference_interval


@dataclass(frozen=True)
class ArmEvidence:
    """What is known of one arm since the experiment began.

    ``devices`` had exposure; ``failed_devices`` could not activate it or took it back.
    """

    labelled: int = 0
    correct: int = 0
    predictions: int = 0
    errors: int = 0
    devices: int = 0
    failed_devices: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of late labels that agreed."""
        return self.correct / self.labelled if self.labelled else None


@dataclass(frozen=True)
class Decision:
    """What to do, why, and the figures that it was decided on."""

    action: Literal["wait", "pass", "abort"]
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)


def decide(
    policy: CanaryPolicy, candidate: ArmEvidence, control: ArmEvidence, *, soaked: float
) -> Decision:
    """Judge a canary step that has lasted ``soaked`` seconds.

    Aborts when the candidate failed on too many devices, when the e-value of its failures (wrong
    labels and errors, averaged) reaches ``1 / alpha``, or when its accuracy is surely lower than
    the control's by more than the margin. Passes when its accuracy is surely not lower than that,
    with enough labels on both arms and enough time in the step.
    """
    interval = difference_interval(
        Moments.of_successes(control.correct, control.labelled),
        Moments.of_successes(candidate.correct, candidate.labelled),
        policy.alpha,
    )
    evidence = _failure_evidence(candidate, control)
    figures = _figures(candidate, control, interval, evidence)
    if candidate.failed_devices >= policy.max_failed_devices:
        reason = f"it failed on {candidate.failed_devices} device(s)"
        return Decision("abort", reason, figures)
    if evidence >= 1 / policy.alpha:
        reason = f"it fails more often: e-value {evidence:.3g} >= {1 / policy.alpha:.3g}"
        return Decision("abort", reason, figures)
    if interval[1] < -policy.margin:
        reason = f"its accuracy is lower by at least {-interval[1]:.3f}"
        return Decision("abort", reason, figures)
    missing = _missing(policy, candidate, control, soaked)
    if missing:
        return Decision("wait", missing, figures)
    if interval[0] >= -policy.margin:
        reason = f"its accuracy is at least {interval[0]:+.3f} against the control's"
        return Decision("pass", reason, figures)
    return Decision("wait", f"undecided: difference of accuracy in {_shown(interval)}", figures)


def _failure_evidence(candidate: ArmEvidence, control: ArmEvidence) -> float:
    """The average of two e-values is an e-value."""
    wrong = failure_evidence(
        candidate.labelled - candidate.correct,
        candidate.labelled,
        control.labelled - control.correct,
        control.labelled,
    )
    broken = failure_evidence(
        candidate.errors,
        candidate.predictions + candidate.errors,
        control.errors,
        control.predictions + control.errors,
    )
    return (wrong + broken) / 2


def _missing(
    policy: CanaryPolicy, candidate: ArmEvidence, control: ArmEvidence, soaked: float
) -> str:
    """What keeps the step from passing whatever the figures say."""
    for name, arm in (("candidate", candidate), ("control", control)):
        if arm.labelled < policy.minimum_labels:
            return f"{name}: {arm.labelled} of {policy.minimum_labels} labels"
    if soaked < policy.soak_seconds:
        return f"soaking: {soaked:.0f} of {policy.soak_seconds:.0f} s"
    return ""


def _figures(
    candidate: ArmEvidence,
    control: ArmEvidence,
    interval: tuple[float, float],
    evidence: float,
) -> dict[str, Any]:
    bounded = [round(min(1.0, max(-1.0, end)), 4) for end in interval]
    return {
        "candidate": {**vars(candidate), "accuracy": candidate.accuracy},
        "control": {**vars(control), "accuracy": control.accuracy},
        "accuracy_difference": bounded,
        "failure_e_value": min(evidence, 1e300),
    }


def _shown(interval: tuple[float, float]) -> str:
    return f"[{max(-1.0, interval[0]):+.3f}, {min(1.0, interval[1]):+.3f}]"
