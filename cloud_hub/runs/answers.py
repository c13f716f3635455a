"""Answers of a release to labelled rows, as the gate compares them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ReleaseAnswers:
    """Losses and probabilities of one release on a set of rows.

    ``loss`` [N] is 1 for a wrong label and 0 for a right one, or the absolute error of a value.
    ``probabilities`` [N, classes] and ``truth`` [N] (index of the true class) where it has them.
    """

    loss: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None = None
    truth: NDArray[np.int64] | None = None
