"""A gate's decision: what to do with an experiment, why, and on which figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from cloud_hub.experiments.verdict.figures import Figures, Guard, Look
from cloud_hub.experiments.verdict.spec import ExperimentSpec

Action = Literal["wait", "pass", "drop", "abort", "pause", "conclude"]
PAUSED: Final = "paused, not passed"
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
