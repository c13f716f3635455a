"""Where a run is taken up again: at the first step that failed, or whose inputs changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Protocol

from cloud_hub.errors import Conflict
from cloud_hub.runs.steps.names import STEPS, StepName, changed_inputs, steps_before

if TYPE_CHECKING:
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.runs.steps.store import StepRecord
    from edge_sdk.contract.plan import Plan


class Improves(Protocol):
    """A run: its number, its model, and the version that it improves."""

    @property
    def id(self) -> int:
        """Number of the run."""

    @property
    def model(self) -> str:
        """Name of the line."""

    @property
    def parent(self) -> str:
        """Version that it improves."""


RESUMABLE: Final = ("failed", "rejected", "cancelled")
"""Statuses of runs that can be taken up again; what is held waits for an override."""


def check_parent(run: Improves, plan: Plan | None) -> None:
    """Raise Conflict if another version serves than the one that a run improves."""
    serving = None if plan is None else plan.serving.version
    if serving != run.parent:
        raise Conflict(
            f"run {run.id}: improves {run.parent}, but {serving or 'nothing'} serves by now; "
            f"start another one with edge-hub runs start {run.model}"
        )


def changed_steps(
    steps: Sequence[StepRecord], policy: TrainPolicy, *, code: str, environment: str
) -> dict[StepName, tuple[str, ...]]:
    """Return the steps whose inputs are others now, with the names of those inputs.

    Args:
        steps: of the last attempt.
        policy: as it is in force now.
        code: digest of the training's code now.
        environment: digest of the installed packages now.
    """
    now: Mapping[str, Mapping[str, Any]] = {
        "validate": {"thresholds": asdict(policy.validation)},
        "train": {"code": code, "environment": environment, "seed": policy.seed},
    }
    found: dict[StepName, tuple[str, ...]] = {}
    for record in steps:
        known = {name: record.inputs.get(name) for name in now.get(record.step, {})}
        if record.inputs and (names := changed_inputs(known, now.get(record.step, {}))):
            found[record.step] = names
    return found


def first_step(
    steps: Sequence[StepRecord], changed: Mapping[StepName, tuple[str, ...]]
) -> tuple[StepName, str]:
    """Return the step to begin at, and why.

    Args:
        steps: of the last attempt.
        changed: see :func:`changed_steps`.

    Raises:
        Conflict: every step was taken and nothing has changed.
    """
    by_name = {record.step: record for record in steps}
    for name in STEPS:
        record = by_name.get(name)
        if record is None:
            return name, f"{name} was not taken"
        if not record.good:
            return name, f"{name} {record.status}"
        if name in changed:
            return name, f"{', '.join(changed[name])} of {name} changed"
    raise Conflict("run: every step was taken and nothing has changed; name one with --from")


def check_begin(run: int, begin: StepName, steps: Sequence[StepRecord]) -> None:
    """Raise Conflict unless every step before ``begin`` was taken, so that it has its inputs."""
    by_name = {record.step: record for record in steps}
    for name in steps_before(begin):
        record = by_name.get(name)
        if record is None or not record.good:
            was = "was not taken" if record is None else record.status
            raise Conflict(
                f"run {run}: cannot begin at {begin}, because {name} {was}; --from {name}, or an "
                "earlier step"
            )
