"""Whether a row is of the unit whose memory it meets: somebody else may have its name, or device.

Speaker verification by likelihoods (PLDA: Ioffe 2006, Prince & Elder 2007): the best class mean of
the memory explains the row u, or the best one that a new unit would have does. Labels play no part,
so that wrong ones cannot make a unit a stranger to itself. The difference, cut to ±:data:`LARGEST`
since rows are less normal than the model has it, is added up as in a CUSUM (Page 1954).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.class_space import ClassSpace

Vector = NDArray[np.float32]

LARGEST: Final = 2.0
"""Nats that one row counts at most."""

LEAST_LABELS: Final = 8.0
"""Weight of the labels of a memory before anybody can be a stranger to it."""


class Strangeness:
    """What new units look like, as a prior has it."""

    def __init__(self, space: ClassSpace) -> None:
        self._precision = 1.0 / (1.0 + space.spread)
        self._matrix: Vector = space.mean * self._precision
        self._offset: Vector = space.log_frequencies - 0.5 * (self._matrix * space.mean).sum(axis=1)
        self._level = float(np.log(self._precision).sum())

    def of(self, u: Vector, own: Vector, precision: Vector) -> float:
        """Return by how many nats a new unit explains a row better than a memory does, cut.

        Args:
            u: [r] of the row.
            own: [C] of the memory: (precision · μ_c)ᵀ u − ½ μ_cᵀ (precision · μ_c) + log frequency.
            precision: [r] of a row about the memory's means.
        """
        new = self._matrix @ u
        new += self._offset
        apart = float((u * u) @ (precision - self._precision))
        level = float(np.log(precision).sum())
        better = float(new.max()) - float(own.max()) + 0.5 * (apart + self._level - level)
        return max(-LARGEST, min(LARGEST, better))
