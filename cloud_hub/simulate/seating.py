"""Arms of all devices at once under a plan, as each would work it out for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.experiments.schedule import in_stage
from cloud_hub.simulate.population import Population
from edge_sdk.contract.plan import SLOTS, Experiment

OUTSIDE: Final = -1
"""Of a device that takes no part, or whose arm was dropped."""


@dataclass(frozen=True)
class Seating:
    """``arm`` of each device: :data:`OUTSIDE`, 0 for the control, else the number of its arm;
    ``counted`` are those of the present stage. Both [N].
    """

    arm: NDArray[np.int8]
    counted: NDArray[np.bool_]


def seat(
    trial: Experiment,
    numbers: Mapping[str, int],
    population: Population,
    slots: NDArray[np.int16],
) -> Seating:
    """Return the arms of all devices: :func:`edge_sdk.contract.plan.assign`, slot by slot.

    Args:
        trial: the experiment as the plan names it.
        numbers: of all arms that it began with, by name, from 1.
        population: the fleet.
        slots: of its devices under the salt of the experiment, [N].
    """
    owner = np.zeros(SLOTS, dtype=np.int8)
    for arm in trial.declared:
        number = numbers[arm.name] if arm in trial.arms else OUTSIDE
        for low, high in arm.slots:
            owner[low:high] = number
    arms = owner[slots]
    counted = np.zeros(len(population), dtype=np.bool_)
    for number, attributes in enumerate(population.attributes):
        there = population.cohort == number
        if not trial.takes_part(attributes):
            arms[there] = OUTSIDE
        elif in_stage(trial, attributes):
            counted |= there
        else:  # of a completed cohort, all of which have the candidate
            arms[there] = 1
    return Seating(arms, counted)
