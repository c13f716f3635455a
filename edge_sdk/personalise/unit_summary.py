"""What one unit adds to the sums that a device reports: clipped numbers of a fixed length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class UnitSummary:
    """One unit's part of the hub's sums; all numbers are bounded.

    Attributes:
        labels: that the unit has given, at most 1,000.
        gain: share of labels that the unit's answer had right, less the release's; in [-1, 1].
        shift: [r] the unit's estimated shift over its prior deviation, clipped to ±3.
        shift_square: [r] expected squares of it, clipped to 9.
        class_square: [r] the same of the deviations of single classes, mean over classes seen.
    """

    labels: int
    gain: float
    shift: NDArray[np.float64]
    shift_square: NDArray[np.float64]
    class_square: NDArray[np.float64]

    def vector(self) -> NDArray[np.float64]:
        """Return all as one vector [2 + 3 r]."""
        return np.concatenate(
            [[self.labels, self.gain], self.shift, self.shift_square, self.class_square]
        )
