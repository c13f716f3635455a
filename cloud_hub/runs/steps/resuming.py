"""Where a run is taken up again: at the first step that failed, or whose inputs changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from cloud_hub.errors import Conflict, HubFault
from cloud_hub.runs.steps.names import (
    STEPS,
    TOGETHER,
    StepName,
    changed_inputs,
    steps_before,
    taken_with,
)
from edge_sdk.errors import EdgeError

if TYPE_CHECKING:
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
    steps: Sequence[StepRecord], now: Mapping[StepName, Mapping[str, Any]]
) -> dict[StepName, tuple[str, ...]]:
    """Return the steps whose inputs are others now, with the names of those inputs.

    Args:
        steps: of the last attempt.
        now: inputs of steps as they would be now, as far as the hub knows them.
    """
    found: dict[StepName, tuple[str, ...]] = {}
    for record in steps:
        inputs = now.get(record.step, {})
        known = {name: record.inputs.get(name) for name in inputs}
        if record.inputs and (names := changed_inputs(known, inputs)):
            found[record.step] = names
    return found


def steps_to_take(
    steps: Sequence[StepRecord], changed: Mapping[StepName, tuple[str, ...]]
) -> tuple[StepName, ...]:
    """Return the steps that a run still needs: what was not taken well, what changed, what follows.

    Args:
        steps: of the last attempt.
        changed: see :func:`changed_steps`.
    """
    good = {record.step for record in steps if record.good}
    return taken_with({name for name in STEPS if name not in good} | set(changed))


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
    needed = steps_to_take(steps, changed)
    if not needed:
        raise Conflict("run: every step was taken and nothing has changed; name one with --from")
    by_name = {record.step: record for record in steps}
    # A step can be needed for the sake of one that is taken with it.
    for name in (needed[0], *(each for each, first in TOGETHER.items() if first == needed[0])):
        record = by_name.get(name)
        if record is None:
            return needed[0], f"{name} was not taken"
        if not record.good:
            return needed[0], f"{name} {record.status}"
        if name in changed:
            return needed[0], f"{', '.join(changed[name])} of {name} changed"
    raise AssertionError(f"{needed[0]} is needed for no reason")


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


def reason_of(error: Exception, run: int) -> str:
    """Return why a run ended whose next step raised, for people."""
    if isinstance(error, OSError):  # a full disk, say
        said = f"{error.strerror or error}; edge-hub runs resume {run} takes it up again"
        return said if error.filename is None else f"{error.filename}: {said}"
    known = isinstance(error, HubFault | EdgeError)
    return str(error) if known else f"{type(error).__name__}: {error}"
