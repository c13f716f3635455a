"""References that know the time: the usual counts of an hour of the week, and how usual differs.

Where the day has a rhythm, training alone is the wrong reference: every night would be drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cloud_hub.statistics.detectors.distances import Counts

HOUR: Final = 3_600
WEEK_HOURS: Final = 168
LEAST_WINDOWS: Final = 8
"""Reference windows that a mean and a standard deviation need."""

EPOCH_HOURS: Final = 72
"""Unix time began on a Thursday; hour 0 is Monday, midnight UTC."""


def hour_of_week(at: float) -> int:
    """Hour of the week, 0 to 167 from Monday midnight UTC, of a time in Unix seconds."""
    return (int(at // HOUR) + EPOCH_HOURS) % WEEK_HOURS


def seasonal_reference(
    past: Sequence[tuple[float, Mapping[str, Any]]], at: float, *, least: int
) -> dict[str, Counts] | None:
    """Sum of past histograms of the same hour of the week; ``None`` below ``least`` rows.

    Args:
        past: (start in Unix seconds, histograms [bins + 2] by name).
        at: start of the window that is tested.
        least: observations that a reference needs, of the feature that has fewest.
    """
    slot = hour_of_week(at)
    sums: dict[str, Counts] = {}
    for start, histograms in past:
        if start < at and hour_of_week(start) == slot:
            for name, counts in histograms.items():
                sums[name] = sums.get(name, 0.0) + np.asarray(counts, dtype=np.float64)
    # The feature with fewest rows decides: all features of a window have one reference, or none.
    if not sums or min(float(total.sum()) for total in sums.values()) < least:
        return None
    return sums


@dataclass(frozen=True)
class Usual:
    """Range of a figure in reference windows; above mean + 3 standard deviations it is unusual."""

    mean: float
    deviation: float
    windows: int

    @property
    def limit(self) -> float:
        """Value that only an unusual window exceeds."""
        return self.mean + 3 * self.deviation


def usual(figures: Sequence[float]) -> Usual | None:
    """Range of one figure per reference window; ``None`` below :data:`LEAST_WINDOWS`."""
    if len(figures) < LEAST_WINDOWS:
        return None
    values = np.asarray(figures, dtype=np.float64)
    return Usual(float(values.mean()), float(values.std(ddof=1)), len(values))
