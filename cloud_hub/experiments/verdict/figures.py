"""Figures that a decision is made on: record, history, audit log and report show them.

They outlive the evidence, which is summed anew at every look. Every number is finite: an end of an
interval that is nowhere is ``None``. Sections that a strategy does not have are ``None``. Fields
with a default are younger than the first stored figures, which lack them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cloud_hub.statistics.classical import Classical
from cloud_hub.statistics.paired import SignTest
from cloud_hub.statistics.shares import ShareTest


def finite(value: float) -> float | None:
    """Return a number as figures have it: ``None`` where it is nowhere."""
    return value if math.isfinite(value) else None


def e_value_of(log_e: float) -> float:
    """Return an e-value as figures have it: exp(709.8) is the largest double, so it ends below."""
    return math.exp(min(log_e, 690.0))


@dataclass(frozen=True)
class Look:
    """The data as they were when they were last looked at, at ``fraction`` of the horizon."""

    fraction: float
    estimate: float
    variance: float
    n: float


@dataclass(frozen=True)
class ArmFigures:
    """Counts of one arm in the present step.

    ``without_buckets`` are devices of a test by key that report no buckets of keys: they count for
    nothing.
    """

    devices: int
    failed_devices: int
    predictions: int
    errors: int
    labelled: int
    without_buckets: int = 0


@dataclass(frozen=True)
class OutcomeFigures:
    """One outcome of one arm; see :class:`~cloud_hub.experiments.verdict.judgement.Judgement`."""

    outcome: str
    arm: str
    control: float | None
    candidate: float | None
    gain: float
    low: float | None
    high: float | None
    p: float
    n: float
    devices: tuple[int, int]
    outcomes: tuple[int, int]
    minimum_effect: float
    done: bool = False
    tests: tuple[Classical, ...] = ()
    few_devices: bool = False
    settled: bool = False
    buckets: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class FailedDevices:
    """Devices that could not activate the candidate or took it back; ``failed`` names the first.

    ``devices`` tried, and more than a share ``at_most`` of those may not fail: ``e_value`` is the
    evidence that more do.
    """

    failed: tuple[str, ...]
    count: int
    devices: int = 0
    at_most: float = 0.0
    e_value: float = 1.0


@dataclass(frozen=True)
class FailureExcess:
    """(failures, requests) of either arm, with the evidence that the candidate's are more."""

    candidate: tuple[int, int]
    control: tuple[int, int]
    e_value: float
    margin: float = 0.0
    design_effect: float = 1.0


@dataclass(frozen=True)
class GroupExcess:
    """(wrong, labelled) of either arm of the group that speaks most against the candidate.

    ``e_value`` is the evidence that any of the declared ``groups`` got worse.
    """

    group: str
    candidate: tuple[int, int]
    control: tuple[int, int]
    e_value: float
    groups: int
    margin: float = 0.0


@dataclass(frozen=True)
class ErrorExcess:
    """Mean errors of both arms in the unit of the target, of so many ``measured`` numbers.

    ``e_value`` is the evidence that the candidate's are larger.
    """

    candidate_error: float
    control_error: float
    measured: int
    control_measured: int
    e_value: float
    margin: float = 0.0


@dataclass(frozen=True)
class ErrorShare:
    """Share of inputs on which a candidate fails that serves nobody."""

    share: float
    low: float
    at_most: float


@dataclass(frozen=True)
class LatencyRatio:
    """Time of the candidate as a multiple of the incumbent's on the same inputs."""

    ratio: float
    low: float
    at_most: float


@dataclass(frozen=True)
class LatencyQuantile:
    """A quantile of both arms in microseconds, and the interval of their ratio."""

    low: float | None
    high: float | None
    control_us: float | None
    candidate_us: float | None
    at_most: float


# Stored figures are read back by the first of these whose fields are all there, so the one that
# needs the fewest is last.
GuardFigures = (
    FailedDevices
    | GroupExcess
    | ErrorExcess
    | FailureExcess
    | ErrorShare
    | LatencyRatio
    | LatencyQuantile
)


@dataclass(frozen=True)
class Guard:
    """One guardrail on one arm: whether it trips, why, and on which figures."""

    name: str
    arm: str
    trips: bool
    reason: str
    figures: GuardFigures


@dataclass(frozen=True)
class AllocationFigures:
    """Units that the arms of one cohort have, against the shares that they should have."""

    cohort: str
    counts: Mapping[str, int]
    expected: Mapping[str, float]
    p: float
    mismatch: bool


@dataclass(frozen=True)
class ShadowFigures:
    """A shadow run: candidate and incumbent on the same inputs."""

    compared: int
    devices: int
    disagreement: float | None
    confidence_shift: float | None
    value_shift: float | None
    latency_ratio: float | None
    error_share: float | None
    skipped: Mapping[str, int]
    candidate_only: int
    incumbent_only: int
    signs: SignTest


@dataclass(frozen=True)
class InterleaveFigures:
    """Sessions with rankings of both versions mixed."""

    wins: int
    losses: int
    ties: int
    sessions: int
    clicks: Mapping[str, int]
    first: Mapping[str, int]
    refused: Mapping[str, int]
    signs: ShareTest


@dataclass(frozen=True)
class ArmLabels:
    """Labels of one arm's settled windows.

    ``lowest`` and ``highest`` are its accuracy if every answer without a label was wrong, or right.
    """

    answers: int
    labelled: int
    early: int
    correct: int
    lowest: float
    highest: float


@dataclass(frozen=True)
class LabelGap:
    """Candidate's share of answers with a label within ``seconds``, minus the control's.

    ``low`` to ``high`` holds at every look. At worst the gap hides a ``loss`` or a ``gain`` of so
    much accuracy.
    """

    arm: str
    seconds: float
    shares: tuple[float, float]
    low: float
    high: float
    loss: float
    gain: float


@dataclass(frozen=True)
class LabelFigures:
    """Labels count ``settles`` seconds after their window; ``waiting`` ones do not count yet.

    ``band`` is how much accuracy may be hidden by gaps, beyond what the outcome may lose.
    """

    settles: float
    waiting: int
    band: float
    arms: Mapping[str, ArmLabels]
    gaps: tuple[LabelGap, ...] = ()


@dataclass(frozen=True)
class DroppedArm:
    """An arm of an A/B/n test that was taken back: when, by whom, why, and on which figures."""

    at: float
    actor: str
    reason: str
    arm: ArmFigures | None = None
    devices: Mapping[str, int] | None = None
    guardrails: tuple[Guard, ...] = ()
    outcomes: tuple[OutcomeFigures, ...] = ()


@dataclass(frozen=True)
class Figures:
    """Everything that one decision was made on.

    ``devices`` are counts by arm and device state; ``soaked`` and ``silent`` are seconds;
    ``dropped`` are arms that this very decision takes back.
    """

    arms: Mapping[str, ArmFigures] | None = None
    shadow: ShadowFigures | None = None
    interleave: InterleaveFigures | None = None
    outcomes: tuple[OutcomeFigures, ...] | None = None
    guardrails: tuple[Guard, ...] | None = None
    allocation: tuple[AllocationFigures, ...] | None = None
    soaked: float | None = None
    silent: float | None = None
    devices: Mapping[str, Mapping[str, int]] | None = None
    dropped: Mapping[str, DroppedArm] | None = None
    labels: LabelFigures | None = None

    def against(self, arm: str, *, at: float, actor: str, reason: str) -> DroppedArm:
        """Return the figures that speak against an arm, to remember when it is dropped.

        Args:
            arm: name of the arm.
            at: Unix seconds.
            actor: who drops it.
            reason: for people.
        """
        return DroppedArm(
            at,
            actor,
            reason,
            (self.arms or {}).get(arm),
            (self.devices or {}).get(arm, {}),
            tuple(g for g in self.guardrails or () if g.arm == arm and g.trips),
            tuple(row for row in self.outcomes or () if row.arm == arm),
        )

    def dropping(self, arms: Mapping[str, DroppedArm]) -> Figures:
        """The same figures with the arms that are dropped on them."""
        return replace(self, dropped=arms)
