"""Failures of both arms by device and period, as a guardrail reads them.

Bad hours that all devices have in common are found on the control, and taken out of both arms.

Sources:
    C. Morris, "Parametric Empirical Bayes Inference: Theory and Applications", JASA 78(381), 1983
    (rates shrunken towards the common one by how much they surely differ).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.device_risks import STEP, Cells
from cloud_hub.statistics.samples import Floats

Counts = tuple[float, float]
"""How many failed, of how many; whole numbers unless a device's weight was bounded."""

SPREAD: Final = 0.25
"""Variance of the log odds of one device that is looked at alone: rates 1.6 times up or down."""

PERIODS: Final = 12
"""Periods are joined to so many at most: what one of them says is bounded, not its length."""

MOST: Final = 1_000
"""Devices an arm that are looked at; more say no more, and take time."""


@dataclass(frozen=True)
class FailureCounts:
    """Failures of both arms: arrays [R] with a row for each device, arm and period.

    ``device`` and ``period`` are numbered from 0, periods in order of time. ``past`` has failures
    and requests of the devices before the trial, [2, D]; without any, zeros.
    """

    device: NDArray[np.intp]
    period: NDArray[np.intp]
    candidate: NDArray[np.bool_]
    failed: Floats
    requests: Floats
    past: Floats = field(default_factory=lambda: np.zeros((2, 0)))

    @classmethod
    def of(
        cls,
        candidate: Mapping[tuple[str, int], Counts],
        control: Mapping[tuple[str, int], Counts],
        past: Mapping[str, Counts] | None = None,
    ) -> FailureCounts:
        """Arrange counts by device and period of either arm.

        Args:
            candidate: (failed, requests) by device and period.
            control: the same.
            past: (failed, requests) by device under the version before.
        """
        candidate, control = _some(candidate), _some(control)
        keys = [*candidate, *control]
        counts = np.array([*candidate.values(), *control.values()], dtype=np.float64)
        failed, requests = counts.reshape(-1, 2).T
        mine = np.arange(len(keys)) < len(candidate)
        names, before = sorted({device for device, _ in keys}), past or {}
        own = np.array([before.get(name, (0.0, 0.0)) for name in names], dtype=np.float64)
        return cls(_numbered([d for d, _ in keys]), _numbered([p for _, p in keys]), mine, failed,
                   requests, own.reshape(-1, 2).T)  # fmt: skip

    @property
    def devices(self) -> int:
        """Number of devices on either arm."""
        return int(self.device.max()) + 1 if len(self.device) else 0

    def by_period(self) -> Floats:
        """Candidate's failures and requests, control's failures and requests, [4, P]."""
        columns = [
            np.bincount(self.period, np.where(arm, values, 0.0))
            for arm in (self.candidate, ~self.candidate)
            for values in (self.failed, self.requests)
        ]
        return np.array(columns)

    def of_arm(self, values: Floats, *, candidate: bool) -> Floats:
        """Sum of values of the rows of an arm, by device, [D]."""
        rows = self.candidate == candidate
        totals = np.bincount(self.device[rows], values[rows], self.devices)
        return totals.astype(np.float64)

    def cells(self, *, candidate: bool) -> Cells:
        """Failures by device and joined period of one arm, with the common bad hours."""
        periods = int(self.period.max()) + 1 if len(self.period) else 1
        joined = self.period if periods <= PERIODS else self.period * PERIODS // periods
        offsets = common_hours(self, joined)
        rows = self.candidate == candidate
        width = min(periods, PERIODS)
        keys, cell = np.unique(self.device[rows] * width + joined[rows], return_inverse=True)
        failed, requests = (
            np.bincount(cell, values[rows], len(keys)).astype(np.float64)
            for values in (self.failed, self.requests)
        )
        return Cells(keys // width, failed, requests, offsets[keys % width], self.devices)


def common_hours(failures: FailureCounts, period: NDArray[np.intp]) -> Floats:
    """Log odds of each period against the usual ones, in whole steps of the grid, [P].

    Of the control's failures in a period as a multiple of those that its devices' own rates make
    expected, shrunken to 1 as far as chance alone makes such multiples.

    Args:
        failures: of both arms.
        period: of each row, joined, [R].
    """
    rows = ~failures.candidate
    failed, requests = (
        failures.of_arm(values, candidate=False) for values in (failures.failed, failures.requests)
    )
    common = failed.sum() / max(requests.sum(), 1.0)
    own = (failed + 2 * common) / (requests + 2)
    expects = (own[failures.device] * failures.requests)[rows]
    number = int(period.max()) + 1 if len(period) else 1
    seen, expected = (
        np.bincount(period[rows], values, number) for values in (failures.failed[rows], expects)
    )
    square = float(np.sum(expected**2))
    excess = float(np.sum((seen - expected) ** 2 - expected))
    differ = max(0.0, excess / square) if square else 0.0
    weight = differ * expected / (1 + differ * expected)
    multiple = 1 + weight * (seen / np.maximum(expected, 1e-9) - 1)
    steps = np.round(np.log(np.maximum(multiple, 0.05)) / STEP)
    return np.asarray(steps * STEP)


def _some(counts: Mapping[tuple[str, int], Counts]) -> Mapping[tuple[str, int], Counts]:
    """Counts of at most :data:`MOST` devices: the same ones at every look."""
    names = {device for device, _ in counts}
    if len(names) <= MOST:
        return counts
    chosen = set(sorted(names, key=lambda name: crc32(name.encode()))[:MOST])
    return {key: value for key, value in counts.items() if key[0] in chosen}


def _numbered(names: list[str] | list[int]) -> NDArray[np.intp]:
    # An empty list has no type of its own.
    return np.unique(np.array(names), return_inverse=True)[1] if names else np.zeros(0, np.intp)
