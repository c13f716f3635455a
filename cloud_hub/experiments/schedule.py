"""Schedule of an experiment: its first step in the plan, the next one, its end. Pure.

Whoever is in an arm stays in it: steps of a stage only widen (:func:`widen`). A finished stage
joins ``completed`` and the next cohort begins at its first step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec, cohort_name
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import (
    SLOTS,
    Arm,
    Experiment,
    Plan,
    ReleaseRef,
    assign,
    slot_of,
    widen,
)

SALTS: Final = 10_000
"""How many salts are tried to give a small fleet's first steps their devices."""


@dataclass(frozen=True)
class Next:
    """Step after one that passed; ``experiment`` is ``None`` when all stages are done."""

    experiment: Experiment | None
    stage: int
    step: int


def begin(
    spec: ExperimentSpec, id_: str, releases: Mapping[str, ReleaseRef], salt: str
) -> Experiment:
    """Return the experiment as its first plan names it.

    Args:
        spec: the declared experiment.
        id_: of the experiment.
        releases: of the candidates, by the name of their arm.
        salt: of the hash that gives units to slots.
    """
    weights = first_weights(spec)
    # Arms start without slots and widen: from the first step on units only ever enter.
    empty = tuple(Arm(arm.name, releases[arm.name]) for arm in spec.tried)
    return Experiment(
        id_,
        spec.strategy,
        salt,
        widen(empty, weights),
        cohort=spec.path[0].cohort,
        unit=spec.unit,
        share=spec.share,
        outcomes=spec.outcomes,
    )


def enlarged(spec: ExperimentSpec, devices: Mapping[str, Mapping[str, str]]) -> ExperimentSpec:
    """Return a canary whose stages begin with at least ``minimum_devices``.

    Shares that hold fewer devices of the known fleet give way to the smallest that holds enough;
    one device is left as control.

    Args:
        spec: the declared experiment.
        devices: attributes of the model's devices, by name.
    """
    if spec.strategy != "canary":
        return spec
    stages = [
        replace(stage, steps=_large_enough(stage.steps, len(units), spec))
        for stage, units in zip(spec.path, units_of(spec, devices), strict=True)
    ]
    if all(new.steps == old.steps for new, old in zip(stages, spec.path, strict=True)):
        return spec
    if not spec.stages:
        return replace(spec, steps=stages[0].steps)
    return replace(spec, stages=tuple(stages))


def _large_enough(steps: tuple[float, ...], units: int, spec: ExperimentSpec) -> tuple[float, ...]:
    if units < 2:
        return steps
    # Rounded up to a whole slot, so that the share holds the devices that it says.
    least = math.ceil(min(spec.minimum_devices, units - 1) / units * SLOTS) / SLOTS
    larger = tuple(step for step in steps if step > least)
    return steps if steps[0] >= least else (least, *larger)


def first_weights(spec: ExperimentSpec) -> dict[str, int]:
    """Slots of each arm at the start, of :data:`SLOTS`."""
    if spec.strategy == "ab":
        return {arm.name: slots_of(arm.weight) for arm in spec.arms}
    share = spec.path[0].steps[0] if spec.strategy == "canary" else spec.device_share
    return {CANDIDATE: slots_of(share)}


def advance(spec: ExperimentSpec, trial: Experiment, stage: int, step: int) -> Next:
    """Return the step after one that passed; a share of everybody ends the stage.

    Args:
        spec: the declared experiment.
        trial: the experiment as the plan names it now.
        stage: number of the stage that it is in.
        step: number of the step in it that passed.
    """
    steps = spec.path[stage].steps
    if step + 1 < len(steps) and steps[step + 1] < 1:
        wider = widen(trial.arms, {CANDIDATE: slots_of(steps[step + 1])})
        return Next(replace(trial, arms=wider), stage, step + 1)
    if stage + 1 == len(spec.path):
        return Next(None, stage, step + 1)
    done = spec.path[stage].cohort
    following = spec.path[stage + 1]
    assert done is not None, "only the last stage may be for everybody left"
    # A new cohort starts over at its first step; nobody in it has the candidate yet.
    fresh = widen(
        (Arm(CANDIDATE, trial.arms[0].release),), {CANDIDATE: slots_of(following.steps[0])}
    )
    moved = replace(trial, arms=fresh, cohort=following.cohort, completed=(*trial.completed, done))
    return Next(moved, stage + 1, 0)


def shown(spec: ExperimentSpec, stage: int, step: int) -> str:
    """Return a step for people: ``5% of region=eu``; without steps, whom it is tried on.

    Args:
        spec: the declared experiment.
        stage: number of the stage.
        step: number of the step in it.
    """
    if spec.strategy != "canary":
        return cohort_name(spec.cohort)
    place = spec.path[stage]
    return f"{place.steps[step]:.0%} of {place.name}"


def in_stage(trial: Experiment, attributes: Mapping[str, str]) -> bool:
    """Return whether a device is in the present cohort, and in none that is finished."""
    if any(cohort.includes(attributes) for cohort in trial.completed):
        return False
    return trial.cohort is None or trial.cohort.includes(attributes)


def arms_of(plan: Plan, device: str, attributes: Mapping[str, str]) -> tuple[str, ...]:
    """Return the arms that a device answers for, or runs in shadow; none if it takes no part.

    Where units are smaller than a device it answers for all of them.

    Args:
        plan: of the model.
        device: its name.
        attributes: of the device.
    """
    trial = plan.experiment
    if trial is not None and trial.unit == "key":
        taking_part = trial.takes_part(attributes)
        return (CONTROL, *(arm.name for arm in trial.arms)) if taking_part else ()
    assignment = assign(plan, device, attributes, entered=True)
    if assignment.experiment is None:
        return ()
    paired = assignment.shadow or assignment.interleaved
    return (paired.name if paired is not None else assignment.arm,)


def choose_salt(
    id_: str, groups: Sequence[tuple[Sequence[str], Sequence[int]]], minimum: int
) -> str:
    """Choose a salt for which every arm of every group, the control included, gets enough units.

    In a large fleet the first salt will do. In a small one a share may well hold nobody; trying
    salts in order, without a look at anything but the units' names, biases no comparison: which
    units take part is still settled by a hash before any outcome is seen.

    Args:
        id_: of the experiment.
        groups: (units, slots of each arm) that are tried together: the cohorts of a canary.
        minimum: units of each arm, as far as a group has enough. Where it is above 1 the control
            gets two, if there are: a decision has to stand without any single device.
    """
    for number in range(SALTS):
        salt = f"{id_}.{number}"
        if all(_fits(salt, units, slots, minimum) for units, slots in groups):
            return salt
    # A fleet so small that no salt fits: its gate waits for devices, and says so.
    return f"{id_}.0"


def _fits(salt: str, units: Sequence[str], slots: Sequence[int], minimum: int) -> bool:
    # One unit is left for the control at least; the rest is shared by the arms.
    wanted = min(minimum, max(0, (len(units) - 1) // len(slots)))
    control = min(minimum, 2, len(units) - wanted * len(slots))
    slots_taken = [slot_of(salt, unit) for unit in units]
    low = 0
    for count in slots:
        if sum(low <= slot < low + count for slot in slots_taken) < wanted:
            return False
        low += count
    left = sum(slot >= low for slot in slots_taken)
    return len(units) < 2 or low == SLOTS or left >= control


def groups_of(
    spec: ExperimentSpec, devices: Mapping[str, Mapping[str, str]]
) -> list[tuple[list[str], list[int]]]:
    """For :func:`choose_salt`: the devices (with attributes) and slots of every stage."""
    groups = []
    for stage, units in zip(spec.path, units_of(spec, devices), strict=True):
        share = [slots_of(stage.steps[0])] if spec.strategy == "canary" else None
        groups.append((units, share or list(first_weights(spec).values())))
    return groups


def units_of(spec: ExperimentSpec, devices: Mapping[str, Mapping[str, str]]) -> list[list[str]]:
    """Return the devices of each stage, without those that had their turn in one before.

    Args:
        spec: the declared experiment.
        devices: attributes of the model's devices, by name.
    """
    taken: set[str] = set()
    units = []
    for stage in spec.path:
        units.append([d for d, a in devices.items() if d not in taken and stage.includes(a)])
        taken.update(units[-1])
    return units


def slots_of(share: float) -> int:
    """A share as slots, at least one."""
    return max(1, round(share * SLOTS))
