"""What one unit says of how units differ: its means, and their squares less what chance makes.

Method of moments: unlike posterior means, which lean towards the prior, these are without bias
whatever the prior says, so a generation of a prior that is wrong does not make the next one wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.unit_state import Sums

Numbers = NDArray[np.float64]

_LEAST_DETERMINANT = 1e-3
"""Of z's information on a slope, for each label: below it answers are too alike to have one."""


class UnitMoments(NamedTuple):
    """Of one unit, by dimension [r]; from what its cohort begins with.

    Attributes:
        classes: that have labels.
        shift: mean over these of the unit's mean y of the class.
        squares: mean over these of y² less the variance of y.
        cross: mean of the products of two different classes' y; 0 with one class.
    """

    classes: int
    shift: Numbers
    squares: Numbers
    cross: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class UnitSummary:
    """One unit's part of the hub's sums, as it is: neither cut nor scaled.

    ``both`` to ``neither`` count labels by which answers were right, ``served`` those of
    predictions that were served personalised; losses add up over the same labels. ``off``: its
    guard does not let its own answers serve. The others are
    :class:`UnitMoments`.
    """

    both: int
    model_only: int
    personal_only: int
    neither: int
    served: int
    off: bool
    model_loss: float
    personal_loss: float
    classes: int
    shift: Numbers
    squares: Numbers
    cross: Numbers


def class_moments(sums: Sums, cohort: NDArray[np.float32]) -> UnitMoments:
    """Return the moments of a classifier's unit, from its slow memory.

    Args:
        sums: [2, C, r + 1] sums of (u − mean of the class) and, last, their weights.
        cohort: [r] shift that the unit's cohort begins with.
    """
    count = sums[0, :, -1].astype(np.float64)
    seen = count > 0
    number = int(seen.sum())
    if not number:
        zero = np.zeros(sums.shape[2] - 1)
        return UnitMoments(0, zero, zero, zero)
    count = count[seen]
    means = sums[0, seen, :-1] / count[:, None] - cohort
    shift, squares = means.mean(axis=0), (means**2).mean(axis=0)
    cross = np.zeros_like(shift)
    if number > 1:
        cross = (number * shift**2 - squares) / (number - 1)
    # Rows of one unit and class have variance 1.
    return UnitMoments(number, shift, squares - (1.0 / count).mean(), cross)


def number_moments(
    sums: NDArray[np.float64], mean: tuple[float, float], deviation: float
) -> UnitMoments:
    """Return the moments of a regressor's unit: least squares of its offset and slope.

    Args:
        sums: of z, z², e, e·z and the count, e the error over the noise's deviation.
        mean: (θ₀, θ₁) of the cohort, in deviations of the noise.
        deviation: of the noise, in the unit of the answer.
    """
    z, zz, e, ez, n = sums.tolist()
    if n <= 0:
        return UnitMoments(0, np.zeros(2), np.zeros(2), np.zeros(2))
    determinant = n * zz - z * z
    if determinant > _LEAST_DETERMINANT * n * n:
        theta = ((e * zz - z * ez) / determinant, (n * ez - z * e) / determinant)
        variance = (zz / determinant, n / determinant)
    else:  # of answers that are all alike the slope is not known: it is as expected
        theta, variance = (e / n - mean[1] * z / n, mean[1]), (1.0 / n, 0.0)
    shift = deviation * (np.array(theta) - mean)
    return UnitMoments(1, shift, shift**2 - deviation**2 * np.array(variance), np.zeros(2))
