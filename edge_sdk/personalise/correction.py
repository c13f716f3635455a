"""What a unit's model does to an answer of the release: one power, one matrix, one offset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """Correction of a classifier's probabilities: p'_c ∝ p_c^power · exp((matrix · φ + offset)_c).

    Attributes:
        power: exponent of the release's probabilities.
        matrix: [C, d].
        offset: [C].
        floor: probabilities below it count as it.
    """

    power: float
    matrix: Vector
    offset: Vector
    floor: float

    def apply(self, scores: Sequence[float], phi: Vector) -> tuple[float, ...]:
        """Return the unit's probabilities, which sum to 1.

        Args:
            scores: the release's probabilities [C].
            phi: basis vector of the input [d].
        """
        own = self.matrix @ phi + self.offset
        floor = self.floor
        logits = [
            self.power * math.log(max(p, floor)) + z
            for p, z in zip(scores, own.tolist(), strict=True)
        ]
        top = max(logits)
        odds = [math.exp(z - top) for z in logits]
        total = math.fsum(odds)
        return tuple(each / total for each in odds)


@dataclass(frozen=True, slots=True)
class NumberCorrection:
    """Correction of a regressor's answer: slope · answer + offset."""

    slope: float
    offset: float

    def apply(self, value: float) -> float:
        """Return the unit's answer, in the unit of the release's."""
        return self.slope * value + self.offset
