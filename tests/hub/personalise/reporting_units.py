"""Fleets whose units differ as a test says, and the reports that their devices make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.contract.personal.report import DELTA, PersonalReport
from edge_sdk.personalise.sums.noise import multiplier_of
from edge_sdk.personalise.sums.unit_sums import UnitSums, scales_of
from edge_sdk.personalise.unit_moments import UnitSummary

START, AT = 1_700_000_000, 1_700_600_000


@dataclass(frozen=True)
class Fleet:
    """Units of a classifier of four classes in a space of ``rank`` dimensions.

    ``gain`` is the share of labels that a unit's own answers win, less those that they lose.
    """

    between: float = 1.0
    shift: float = 1.0
    mean: float = 0.0
    gain: float = 0.05
    labels: int = 40

    def unit(self, rng: np.random.Generator, rank: int) -> UnitSummary:
        """One unit's summary, of as many labels of each class."""
        classes, each = 4, self.labels // 4
        y = self.mean + rng.normal(0, self.shift**0.5, rank)
        y = y + rng.normal(0, (self.between + 1 / each) ** 0.5, (classes, rank))
        mean, squares = y.mean(axis=0), (y**2).mean(axis=0)
        cross = (classes * mean**2 - squares) / (classes - 1)
        won = int(rng.binomial(self.labels, 0.04 + max(self.gain, 0)))
        lost = int(rng.binomial(self.labels, 0.04 + max(-self.gain, 0)))
        both = max(0, self.labels - won - lost - 2)
        return UnitSummary(
            both, lost, won, 2, both // 2, False, 20.0, 16.0, classes, mean, squares - 1 / each,
            cross,
        )  # fmt: skip

    def summed(
        self,
        prior: PersonalPrior,
        units: int,
        rng: np.random.Generator,
        *,
        cohort: str = "",
        epsilon: float | None = None,
    ) -> PersonalReport:
        """The report of one device with so many units."""
        scale = scales_of(prior)
        multiplier = None if epsilon is None else multiplier_of(epsilon, DELTA)
        sums = UnitSums(scale, multiplier)
        for _ in range(units):
            sums.add(self.unit(rng, len(scale)))
        return report_of(prior, sums.numbers(lambda m, s: float(rng.normal(m, s))), cohort, epsilon)


def report_of(
    prior: PersonalPrior, numbers: Any, cohort: str = "", epsilon: float | None = None
) -> PersonalReport:
    """Sums as a device reports them."""
    delta = None if epsilon is None else DELTA
    return PersonalReport(
        prior.model, prior.version, prior.generation, prior.basis_digest, START, AT,
        cohort=cohort, epsilon=epsilon, delta=delta, **numbers,
    )  # fmt: skip


def from_many(
    fleet: Fleet,
    prior: PersonalPrior,
    devices: int,
    rng: np.random.Generator,
    *,
    units: Sequence[int] | NDArray[Any] = (20, 40),
    **more: Any,
) -> list[tuple[str, PersonalReport]]:
    """Reports of devices, each vouched for by itself."""
    sizes = rng.integers(units[0], units[1] + 1, devices).tolist()
    return [(f"d-{i}", fleet.summed(prior, n, rng, **more)) for i, n in enumerate(sizes)]
