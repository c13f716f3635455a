"""Experiments as the hub remembers them: the record, its state from look to look, its history."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloud_hub.experiments.verdict.figures import DroppedArm, Figures, Look
from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec
from edge_sdk.contract.plan import Experiment

OPEN: Final = ("running", "paused", "waiting")
"""States of an experiment that the plan still names."""


@dataclass(frozen=True)
class ExperimentState:
    """Memory of an experiment from look to look.

    ``serial`` is of the plan with which the present step began; devices behind it are not counted
    in the allocation. Failures count since ``failures_since`` (Unix seconds) and failed devices
    after the event ``acknowledged``: a person who resumed at ``resumed_at`` has seen what was
    before. ``looks`` are the planned looks taken, by ``outcome/arm``.
    """

    serial: int = 0
    failures_since: float = 0.0
    acknowledged: int | None = None
    resumed_at: float | None = None
    looks: Mapping[str, tuple[Look, ...]] | None = None
    winner: str | None = None
    dropped: Mapping[str, DroppedArm] | None = None


@dataclass(frozen=True)
class Acknowledgement:
    """Failures that a person has seen who resumed an experiment; only newer ones trip again."""

    acknowledged: int
    failures_since: float
    resumed_at: float


@dataclass(frozen=True)
class ExperimentRecord:
    """One experiment.

    ``status``: ``running``; ``paused`` (by a person, a guardrail, or without data); ``waiting``
    for a person's approval; then ``promoted``, ``aborted`` (taken back), ``stopped`` (by hand) or
    ``concluded`` (with its finding). ``figures`` are those of the last look.
    """

    id: str
    model: str
    strategy: str
    candidate: str
    control: str
    status: str
    stage: int
    step: int
    step_started_at: float
    started_at: float
    ended_at: float | None
    reason: str
    figures: Figures
    spec: ExperimentSpec
    state: ExperimentState

    @property
    def dropped(self) -> Mapping[str, DroppedArm]:
        """Arms of an A/B/n test that were taken back."""
        return self.state.dropped or {}

    @property
    def running(self) -> tuple[ArmSpec, ...]:
        """The candidates that were not dropped."""
        return tuple(arm for arm in self.spec.tried if arm.name not in self.dropped)

    @property
    def open(self) -> bool:
        """True until it has ended."""
        return self.status in OPEN


@dataclass(frozen=True)
class ExperimentEvent:
    """One entry of an experiment's history: a look at it, or a decision.

    ``event`` is ``look``, or what was decided; ``figures`` are empty where the entry was made
    without a look at the evidence (the start, a resume).
    """

    at: float
    event: str
    stage: int
    step: int
    reason: str
    figures: Figures


def fresh_record(
    spec: ExperimentSpec, trial: Experiment, control: str, serial: int
) -> ExperimentRecord:
    """Return the record of an experiment that begins now.

    Args:
        spec: what was declared.
        trial: the experiment as its first plan names it.
        control: version that serves.
        serial: of the plan that names it.
    """
    now = time.time()
    return ExperimentRecord(
        trial.id, spec.model, spec.strategy, spec.tried[0].version, control, "running", 0, 0, now,
        now, None, "started", Figures(), spec, ExperimentState(serial=serial),
    )  # fmt: skip
