"""The next generation of a prior, of what devices said of this one. Pure.

Everything is shrunk towards the generation before, by how many units spoke; and no step is larger
than :data:`LARGEST_STEP` scales of a mean or doubles a variance, so that no one generation, however
it came about, spoils what earlier ones learned. The space stays as it is, and units keep their
state; so do the factors, along which only rows of single units say how much these differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.personalise.learned.aggregates import Learned
from edge_sdk.contract.personal.floats import Floats
from edge_sdk.contract.personal.prior import LARGEST_VARIANCE, PersonalPrior
from edge_sdk.contract.personal.report import WITHIN
from edge_sdk.personalise.sums.unit_sums import along_factors, scales_of

Numbers = NDArray[np.float64]

PRIOR_UNITS: Final = 200.0
"""Units whose word weighs as much as that of the generation before."""

LARGEST_STEP: Final = 1.0
"""By which a cohort's mean moves at most, in scales of the prior."""

MATTERS: Final = 0.1
"""Smallest change that is worth another generation: of a mean in scales, of a variance in squares
of them."""


@dataclass(frozen=True)
class Step:
    """A prior with what devices said of it.

    Attributes:
        prior: with the old number of its generation.
        moved: largest change, in scales or squares of them.
        flips: whether the verdict changed.
    """

    prior: PersonalPrior
    moved: float
    flips: bool

    @property
    def matters(self) -> bool:
        """Whether it is worth that all devices get it."""
        return self.flips or self.moved >= MATTERS


def next_prior(prior: PersonalPrior, everybody: Learned, cohorts: Mapping[str, Learned]) -> Step:
    """Return a prior with what devices said of it.

    Args:
        prior: of which they spoke.
        everybody: what all said.
        cohorts: what those of each cohort said that has voices enough.
    """
    scale = np.array(scales_of(prior))
    verdict = everybody.gain.helps
    helps = prior.helps if verdict is None else verdict
    shifts = {name: _shift(found) for name, found in cohorts.items() if name in prior.cohorts}
    # What a cohort's mean explains is no difference between its units.
    explained = sum(
        (found.units * found.shift.value**2 for name, found in cohorts.items() if name in shifts),
        np.zeros(len(scale)),
    ) / max(everybody.units, 1.0)
    weight = _weight(everybody)
    if prior.classes is not None:
        part, moved = _classes(prior, everybody, scale, explained, weight, shifts)
    else:
        part, moved = _numbers(prior, everybody, scale, explained, weight, shifts)
    largest = max([moved, *(float(np.abs(shift).max()) for shift in shifts.values())])
    return Step(replace(prior, helps=helps, **part), largest, helps != prior.helps)


def _weight(said: Learned) -> float:
    units = max(said.units, 0.0)
    return units / (units + PRIOR_UNITS)


def _shift(said: Learned) -> Numbers:
    """By how much a cohort's mean moves, in scales."""
    step: Numbers = np.clip(said.shift.value, -LARGEST_STEP, LARGEST_STEP) * _weight(said)
    return step


def _classes(
    prior: PersonalPrior, said: Learned, scale: Numbers, explained: Numbers, weight: float,
    shifts: Mapping[str, Numbers],
) -> tuple[dict[str, Any], float]:  # fmt: skip
    part = prior.classes
    assert part is not None
    between, shift = (np.array(each.numbers()) for each in (part.between, part.shift))
    crossed, squares = scale**2 * said.cross.value, scale**2 * said.squares.value
    # Factors stay as they were fitted: variances are what they leave.
    along, across = along_factors(part)
    new_shift = _variance(shift, crossed - across - scale**2 * explained, weight)
    new_between = _variance(between, squares - crossed - (along - across), weight)
    changes = np.abs([new_shift - shift, new_between - between]) / scale**2
    cohorts = {
        name: _floats(np.array(mean.numbers()) + scale * shifts.get(name, np.zeros(len(scale))))
        for name, mean in part.cohorts.items()
    }
    made = replace(part, between=_floats(new_between), shift=_floats(new_shift), cohorts=cohorts)
    return {"classes": made}, float(changes.max())


def _numbers(
    prior: PersonalPrior, said: Learned, scale: Numbers, explained: Numbers, weight: float,
    shifts: Mapping[str, Numbers],
) -> tuple[dict[str, Any], float]:  # fmt: skip
    part = prior.number
    assert part is not None
    old = np.array([part.offset, part.slope])
    new = _variance(old, scale**2 * (said.squares.value - explained), weight, part.noise)
    cohorts = {}
    for name, mean in part.cohorts.items():
        moved = np.array(mean) + scale * shifts.get(name, np.zeros(2))
        cohorts[name] = (float(moved[0]), float(moved[1]))
    made = replace(part, offset=float(new[0]), slope=float(new[1]), cohorts=cohorts)
    return {"number": made}, float((np.abs(new - old) / scale**2).max())


def _variance(old: Numbers, found: Numbers, weight: float, within: float = 1.0) -> Numbers:
    """A variance between units: shrunk towards the old one, and at most twice or half of it.

    From nothing it may rise to what chance makes of one unit's labels, else it could never.
    """
    new = old + weight * (np.maximum(found, 0.0) - old)
    largest = np.minimum(2.0 * old + WITHIN * within, LARGEST_VARIANCE * max(within, 1.0))
    step: Numbers = np.clip(new, 0.5 * old, largest)
    return step


def _floats(numbers: Numbers) -> Floats:
    return Floats.of(numbers.tolist(), numbers.shape)
