"""Scores of calibration: whether probabilities are what they say. Lower is better."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 15
"""Equal-mass bins of the calibration error; fewer where a bin would hold less than ten rows."""


def brier_rows(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Squared distance between the probabilities and the truth, row by row, [N] in 0 to 2.

    The sum over classes of ``(probability - 1 if true else 0) ** 2``; its mean is the Brier score.

    Args:
        probabilities: [N, classes].
        truth: index of the true class, [N]; -1 for a class that the model does not know, which
            costs one more than probability 0.

    Source: G. Brier, "Verification of forecasts expressed in terms of probability", Monthly
    Weather Review 78, 1950.
    """
    hot = np.zeros_like(probabilities)
    in_model = truth >= 0
    hot[np.nonzero(in_model)[0], truth[in_model]] = 1.0
    # A class that the model does not know has no column: its certain miss costs the 1 here.
    rows: NDArray[np.float64] = ((probabilities - hot) ** 2).sum(axis=1) + ~in_model
    return rows


def expected_calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Mean distance between confidence and accuracy over equal-mass bins of confidence.

    The sum over bins of ``|sum of confidences - number right|``, divided by the rows. Few rows make
    it too large, never too small on average; compare it on the same rows only.

    Args:
        confidence: of the answer given, [N] in 0 to 1.
        right: whether it was right, [N].
        bins: at most so many; fewer where one would hold less than ten rows.

    Source: M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
    Bayesian binning", AAAI 2015.
    """
    n = len(confidence)
    if n == 0:
        return 0.0
    # Equal mass: with equal widths most bins of a confident model would be empty.
    count = max(1, min(bins, n // 10))
    edges = np.unique(np.quantile(confidence, np.arange(1, count) / count))
    # side="right" keeps equal confidences together in one bin.
    bin_of = np.searchsorted(edges, confidence, side="right")
    gaps = np.bincount(bin_of, weights=confidence - right)
    return float(np.abs(gaps).sum() / n)
