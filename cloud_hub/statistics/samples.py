"""What is compared, and what comes of it: outcomes of an arm by device; a difference of arms.

A device sends how many outcomes, their sum and the sum of their squares; no method needs more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One arm: arrays [..., D] of how many, sum and sum of squares by device.

    Devices are in the same order on both arms; one without outcomes has zeros. Axes before the
    last are looks or simulated runs.
    """

    n: Floats
    total: Floats
    squares: Floats

    @classmethod
    def of_successes(cls, successes: Floats, n: Floats) -> Sample:
        """Sample of a 0/1 outcome, whose squares are its sums."""
        return cls(n, successes, successes)


@dataclass(frozen=True)
class Contrast:
    """mean(candidate) - mean(control) with its variance; arrays of the looks' shape.

    ``n`` is how many independent requests an arm would have to have, on both, for as much
    information: the sample size after the design effect. ``freedom`` is of the variance.
    ``attainable`` is what ``n`` comes to with any number of requests of the same devices, as far as
    they have shown how much they differ; infinite where they have not.
    """

    estimate: Floats
    variance: Floats
    n: Floats
    freedom: Floats
    attainable: Floats = field(default_factory=lambda: np.array(np.inf))


def pair_up(
    control: Mapping[str, tuple[float, float, float]],
    candidate: Mapping[str, tuple[float, float, float]],
) -> tuple[Sample, Sample]:
    """Arrange both arms in one order of devices; one that is missing on an arm has zeros.

    Args:
        control: (n, sum, sum of squares) by device.
        candidate: the same of the other arm.
    """
    devices = sorted({*control, *candidate})
    return in_order(control, devices), in_order(candidate, devices)


def in_order(rows: Mapping[str, tuple[float, float, float]], devices: Sequence[str]) -> Sample:
    """Arrange rows in an order of devices; one that is missing has zeros.

    Args:
        rows: (n, sum, sum of squares) by device.
        devices: the order.
    """
    found = [rows.get(device, (0.0, 0.0, 0.0)) for device in devices]
    return Sample(*np.array(found, dtype=np.float64).reshape(-1, 3).T)
