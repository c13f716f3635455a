"""Sections of an experiment's report: plain frozen data, for the page and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.experiments.verdict.effects import CohortEffect
    from cloud_hub.experiments.verdict.figures import (
        AllocationFigures,
        DroppedArm,
        Guard,
        InterleaveFigures,
        LabelFigures,
        OutcomeFigures,
        ShadowFigures,
    )


@dataclass(frozen=True)
class ArmStatus:
    """A candidate, its version and what has become of it.

    ``state`` is ``runs``, ``dropped``, ``won`` (where nothing is promoted by itself, or a person is
    waited for), or how the experiment ended.
    """

    arm: str
    version: str
    state: str
    dropped: DroppedArm | None


@dataclass(frozen=True)
class PathStep:
    """A step of a canary: ``passed``, ``to come``, ``now``, or how it ended there."""

    share: float
    state: str


@dataclass(frozen=True)
class PathStage:
    """A stage of a canary with its steps."""

    stage: str
    steps: tuple[PathStep, ...]


@dataclass(frozen=True)
class TimelineEvent:
    """A decision, and the step in which it was made; ``at`` in Unix seconds."""

    at: float
    event: str
    step: str
    reason: str


@dataclass(frozen=True)
class OutcomePoint:
    """An outcome at one look; ``step`` is (stage, step) by number."""

    at: float
    step: tuple[int, int]
    gain: float
    low: float | None
    high: float | None
    p: float
    n: float


@dataclass(frozen=True)
class OutcomeSeries:
    """The confidence sequence of one outcome of one arm over time, and how it stands."""

    outcome: str
    arm: str
    points: tuple[OutcomePoint, ...]
    latest: OutcomeFigures


@dataclass(frozen=True)
class EvidencePoint:
    """A guardrail's e-value at one look."""

    at: float
    e_value: float


@dataclass(frozen=True)
class GuardSeries:
    """A guardrail on one arm over time; ``tripped`` at any look."""

    name: str
    arm: str
    points: tuple[EvidencePoint, ...]
    latest: Guard
    tripped: bool


@dataclass(frozen=True)
class ExposurePoint:
    """Predictions in the step at one look; ``step`` is (stage, step) by number."""

    at: float
    step: tuple[int, int]
    devices: int | None
    predictions: int


@dataclass(frozen=True)
class ExposureSeries:
    """Predictions of one arm over time."""

    arm: str
    points: tuple[ExposurePoint, ...]


@dataclass(frozen=True)
class SessionPoint:
    """The candidate's share of the decided sessions at one look, and its interval."""

    at: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class CohortArm:
    """Sums of one arm in one cohort since the start; shares are ``None`` without anything below.

    ``accuracy`` is that of the model's own answers, ``served`` that of what was served.
    """

    cohort: str
    arm: str
    devices: int
    predictions: int
    errors: int
    labelled: int
    correct: int
    energy_n: float
    energy_sum: float
    accuracy: float | None
    joules_a_prediction: float | None
    mae: float | None = None
    served: float | None = None


@dataclass(frozen=True)
class Report:
    """Everything that was seen of one experiment and decided, over time.

    ``now`` is the step that it is in, ``rules`` what was declared, as sentences. ``beside`` is how
    a shadow run or interleaving stands. ``devices`` are counts by arm and state, and ``shares`` the
    failed and regressed among the devices with exposure. ``cohorts`` are plain sums, ``effects``
    what can be said of them. ``labels`` are those of the last look, ``None`` where nothing is
    judged by them.
    """

    experiment: ExperimentRecord
    now: str
    tried: str
    arms: tuple[ArmStatus, ...]
    path: tuple[PathStage, ...]
    rules: tuple[str, ...]
    timeline: tuple[TimelineEvent, ...]
    outcomes: tuple[OutcomeSeries, ...]
    guardrails: tuple[GuardSeries, ...]
    exposure: tuple[ExposureSeries, ...]
    beside: ShadowFigures | InterleaveFigures | None
    sessions: tuple[SessionPoint, ...]
    allocation: tuple[AllocationFigures, ...]
    devices: Mapping[str, Mapping[str, int]]
    shares: Mapping[str, Mapping[str, float]]
    cohorts: tuple[CohortArm, ...]
    effects: tuple[CohortEffect, ...]
    labels: LabelFigures | None
