"""A gate's decision: what to do with an experiment, why, and on which figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cloud_hub.experiments.verdict.figures import Figures, Guard, Look
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.text.durations import format_duration

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.evidence import Evidence

Action = Literal["wait", "pass", "drop", "abort", "pause", "conclude"]
Looks = Mapping[str, tuple[Look, ...]]
"""Planned looks taken so far, by ``outcome/arm``."""


@dataclass(frozen=True)
class GateDecision:
    """Decision of a gate: an action, its reason, and the figures that it was made on.

    ``pass``: on to the next step. ``drop``: ``arms`` are taken back and the others go on.
    ``conclude``: it is over; ``winner`` is the arm to promote, if any. ``looks`` are handed to the
    gate at the next look.
    """

    action: Action
    reason: str
    figures: Figures = Figures()
    winner: str | None = None
    looks: Looks = field(default_factory=dict)
    arms: tuple[str, ...] = ()


def tripped(spec: ExperimentSpec, guards: tuple[Guard, ...]) -> tuple[Action, str] | None:
    """The action and the reasons of all guardrails that trip; ``None`` if none does."""
    reasons = [guard.reason for guard in guards if guard.trips]
    return (spec.guardrails.then, "; ".join(reasons)) if reasons else None


def silent(spec: ExperimentSpec, evidence: Evidence) -> str:
    """Say for how long no candidate has reported, if that is too long; else empty."""
    if evidence.silent < spec.no_data_seconds:
        return ""
    lasts = format_duration(evidence.silent)
    return f"no candidate has reported for {lasts}: paused, not passed"


def soaking(spec: ExperimentSpec, evidence: Evidence) -> str:
    """Say how much of the soak time has passed, if not all of it has; else empty."""
    if evidence.soaked >= spec.soak_seconds:
        return ""
    return f"soaking: {format_duration(evidence.soaked)} of {format_duration(spec.soak_seconds)}"
