"""The state that a plan wants of a device, and what the device does with what it has. Pure.

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
    """The device's assignment, and every release that it needs, in the order to bring them."""

    assignment: Assignment
    releases: tuple[ReleaseRef, ...]
    experiment: str | None = None

    @classmethod
    def only(cls, release: ReleaseRef) -> DesiredState:
        """One release, which serves everybody."""
        return cls(Assignment(release), (release,))

    @property
    def home(self) -> ReleaseRef | None:
        """The release to go back to from a candidate; ``None`` where no candidate serves."""
        first = self.releases[0]
        return None if first == self.assignment.release else first


def desired_state(
    plan: Plan,
    device: str,
    attributes: Mapping[str, str],
    *,
    entered: bool,
    failed: Callable[[ReleaseRef], bool],
) -> DesiredState:
    """Return what ``plan`` wants of this device.

    Args:
        plan: verified.
        device: name of this device; its slots follow from it.
        attributes: of this device, for cohorts.
        entered: the device serves as a candidate of the plan's experiment already.
        failed: whether a release failed on this device.
    """
    releases = holdings(plan, device, attributes, entered=entered)
    if plan.experiment is None or any(map(failed, releases)):
        return DesiredState.only(plan.serving)
    if plan.experiment.unit == "key":  # whose arms are for keys, not for the device
        return DesiredState(Assignment(plan.serving), releases, plan.experiment.id)
    assignment = assign(plan, device, attributes, entered=entered)
    return DesiredState(assignment, releases, plan.experiment.id)


@dataclass(frozen=True)
class RunningCandidates:
    """An experiment that runs beside what serves: its candidates by arm, all of them here."""

    experiment: Experiment
    candidates: tuple[tuple[str, SlotRef], ...]


@dataclass(frozen=True)
class CurrentAssignment:
    """The arm as which the serving release answers, and what runs beside it."""

    experiment: str | None = None
    arm: str = CONTROL
    beside: RunningCandidates | None = None


def current_assignment(plan: Plan, want: DesiredState, state: UpdateState) -> CurrentAssignment:
    """Return what the device does with what it has: what is not here yet does not run yet.

    Args:
        plan: verified.
        want: what it wants of this device.
        state: what is on disk.
    """
    assignment, experiment = want.assignment, plan.experiment
    if state.current != SlotRef.of(assignment.release) or experiment is None:
        return CurrentAssignment()
    arms = [arm for arm in (assignment.shadow, assignment.interleaved) if arm is not None]
    if experiment.unit == "key" and len(want.releases) > 1:
        arms = list(experiment.arms)
    candidates = tuple((arm.name, SlotRef.of(arm.release)) for arm in arms)
    here = bool(candidates) and all(slot in state.here for _, slot in candidates)
    beside = RunningCandidates(experiment, candidates) if here else None
    return CurrentAssignment(assignment.experiment, assignment.arm, beside)
