"""Bound of the weight of one device: a multiple of the median device's. Pure.

What a device reports is a claim, and one device with ten thousand times the traffic of the
others, honest or not, would speak for the fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median_low
from typing import Final

import numpy as np

from cloud_hub.statistics.samples import Floats

MULTIPLE: Final = 10.0
"""Times the median device's number of outcomes."""


def device_factors(totals: Mapping[str, float]) -> dict[str, float]:
    """Return by what the sums of each device are multiplied: 1, or less for one that has too much.

    Args:
        totals: number of outcomes of each device; those of none do not count for the median.
    """
    there = [total for total in totals.values() if total > 0]
    # The lower of two in the middle: of two devices neither lifts its own bound.
    most = MULTIPLE * median_low(there) if there else 0.0
    return {d: most / total if total > most else 1.0 for d, total in totals.items()}


def factors_of(totals: Floats) -> Floats:
    """Return the same as :func:`device_factors` of totals in an array, [devices]."""
    there = totals[totals > 0]
    if not len(there):
        return np.ones_like(totals)
    most = MULTIPLE * np.partition(there, (len(there) - 1) // 2)[(len(there) - 1) // 2]
    return np.asarray(np.divide(most, totals, out=np.ones_like(totals), where=totals > most))
