"""How far one unit is from what its prior expects, in prior deviations: what EM needs of it.

Means of expected squares over units, times the prior's variances, are the next generation's
variances (EM of a random-effects model: Laird & Ware 1982).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.class_space import ClassSpace
from edge_sdk.personalise.unit_state import Sums

Numbers = NDArray[np.float64]


class Deviations(NamedTuple):
    """Of one unit, by dimension [r].

    Attributes:
        shift: posterior mean of the shift, over its prior deviation.
        shift_square: expected square of the same.
        class_square: expected square of single classes' deviations over theirs, mean over the
            classes that have labels; 1 if none has.
    """

    shift: Numbers
    shift_square: Numbers
    class_square: Numbers


def class_deviations(sums: Sums, space: ClassSpace) -> Deviations:
    """Return the deviations of a classifier's unit, from its slow memory.

    Args:
        sums: [2, C, r + 1] of the unit.
        space: of the prior.
    """
    count = sums[0, :, -1:].astype(np.float64)
    total = sums[0, :, :-1] - count * space.cohort
    between, precision = space.between[0].astype(np.float64), space.inverse_shift[0]
    shrink = 1.0 / (1.0 + count * between)
    variance = 1.0 / (precision + (count * shrink).sum(axis=0))
    shift = ((total * shrink).sum(axis=0) * variance)[0]
    deviation = between * shrink * (total - count * shift)
    spread = between * shrink + (count * between * shrink) ** 2 * variance
    seen = count[:, 0] > 0
    squares = ((deviation**2 + spread) / between)[seen]
    prior = precision[0]
    return Deviations(
        shift * np.sqrt(prior),
        (shift**2 + variance[0]) * prior,
        squares.mean(axis=0) if len(squares) else np.ones(space.rank),
    )
