"""Whether a row is of the unit whose memory it meets: somebody else may have its name, or device.

Speaker verification by likelihoods (PLDA: Ioffe 2006, Prince & Elder 2007): the best class mean of
the memory explains the row u, or the best one that a new unit would have does. Labels play no part,
so that wrong ones cannot make a unit a stranger to itself. The difference, cut to ±:data:`LARGEST`
since rows are less normal than the model has it, is added up as in a CUSUM (Page 1954).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.class_space import ClassSpace

Vector = NDArray[np.float32]

LARGEST: Final = 2.0
"""Nats that one row counts at most."""

LEAST_LABELS: Final = 8.0
"""Weight of the labels of a memory before anybody can be a stranger to it."""


class Apart(NamedTuple):
    """Differences of a memory's rows from a new unit's: precisions [r], and sum of their logs."""

    precision: Vector
    level: float


class Strangeness:
    """What new units look like, as a prior has it."""

    def __init__(self, space: ClassSpace) -> None:
        self._precision = 1.0 / (1.0 + space.spread)
        self._matrix: Vector = space.mean * self._precision
        self._offset: Vector = space.log_frequencies - 0.5 * (self._matrix * space.mean).sum(axis=1)
        self._ones = np.ones(space.rank, np.float32)
        self._level = float(np.log(self._precision).sum())

    def against(self, precision: Vector) -> Apart:
        """Return what a memory's rows differ by from a new unit's.

        Args:
            precision: [r] of a row about the memory's means.
        """
        # A product with ones takes a third of the time of sum().
        level = self._level - float(np.log(precision).dot(self._ones))
        return Apart(precision - self._precision, level)

    def of(self, u: Vector, own: float, apart: Apart) -> float:
        """Return by how many nats a new unit explains a row better than a memory does, cut.

        Args:
            u: [r] of the row.
            own: largest over classes of (precision · μ_c)ᵀ u − ½ μ_cᵀ (precision · μ_c) + log
                frequency, of the memory.
            apart: of the memory.
        """
        new = self._matrix.dot(u)
        new += self._offset
        # max() of a short list takes a fifth of the time of an array's.
        better = max(new.tolist()) - own + 0.5 * (float((u * u).dot(apart.precision)) + apart.level)
        return float(max(-LARGEST, min(LARGEST, better)))
