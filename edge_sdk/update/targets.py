"""What a device should hold and serve under its plan, and what it does with what it has. Pure.

Invariants:

* Where a release of an experiment failed, the device leaves the whole experiment: it serves what
  serves and reports under no experiment. As one more control it would bias the comparison.
* Nobody speaks for an arm before that arm's release serves here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Assignment, Experiment, Plan, ReleaseRef, assign, holdings
from edge_sdk.update.state import SlotRef, UpdateState


@dataclass(frozen=True)
class DesiredState:
    """What the device is assigned, and every release that it needs, in the order to bring them."""

    assignment: Assignment
    releases: tuple[ReleaseRef, ...]
    experiment: str | None = None

    @classmethod
    def only(cls, release: ReleaseRef) -> DesiredState:
        """One release, which serves everybody."""
        return cls(Assignment(release), (release,))

    @property
    def home(self) -> ReleaseRef | None:
        """What serves again if the candidate turns out bad; ``None`` where no candidate serves."""
        first = self.releases[0]
        return None if first == self.assignment.release else first


def wanted(
    plan: Plan,
    device: str,
    attributes: Mapping[str, str],
    *,
    entered: bool,
    failed: Callable[[ReleaseRef], bool],
) -> DesiredState:
    """What ``plan`` wants of this device, of which ``failed`` tells what failed on it."""
    releases = holdings(plan, device, attributes, entered=entered)
    if plan.experiment is None or any(map(failed, releases)):
        return DesiredState.only(plan.serving)
    if plan.experiment.unit == "key":  # whose arms are for keys, not for the device
        return DesiredState(Assignment(plan.serving), releases, plan.experiment.id)
    given = assign(plan, device, attributes, entered=entered)
    return DesiredState(given, releases, plan.experiment.id)


@dataclass(frozen=True)
class RunningCandidates:
    """An experiment that runs beside what serves: its candidates by arm, all of them here."""

    experiment: Experiment
    candidates: tuple[tuple[str, SlotRef], ...]


@dataclass(frozen=True)
class CurrentAssignment:
    """As whose arm the serving release answers, and what runs beside it."""

    experiment: str | None = None
    arm: str = CONTROL
    beside: RunningCandidates | None = None


def standing(plan: Plan, want: DesiredState, state: UpdateState) -> CurrentAssignment:
    """What the device does with what it has: what is not here yet does not run yet."""
    given, trial = want.assignment, plan.experiment
    if state.current != SlotRef.of(given.release) or trial is None:
        return CurrentAssignment()
    arms = [arm for arm in (given.shadow, given.interleaved) if arm is not None]
    if trial.unit == "key" and len(want.releases) > 1:
        arms = list(trial.arms)
    candidates = tuple((arm.name, SlotRef.of(arm.release)) for arm in arms)
    here = bool(candidates) and all(slot in state.here for _, slot in candidates)
    beside = RunningCandidates(trial, candidates) if here else None
    return CurrentAssignment(given.experiment, given.arm, beside)
