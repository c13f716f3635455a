"""Are probabilities what they say? Scores of calibration, lower is better."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 15
"""Equal-mass bins of the calibration error; fewer where a bin would hold less than ten rows."""


def brier_rows(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row's squared distance between the probabilities and the truth, [N] in 0 to 2.

    Args:
        probabilities: [N, classes].
        truth: index of the true class, [N]; -1 for a class that the model does not know.

    Source: G. Brier, "Verification of forecasts expressed in terms of probability", Monthly
    Weather Review 78, 1950.
    """
    hot = np.zeros_like(probabilities)
    known = truth >= 0
    hot[np.nonzero(known)[0], truth[known]] = 1.0
    rows: NDArray[np.float64] = ((probabilities - hot) ** 2).sum(axis=1) + ~known
    return rows


def expected_calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Mean distance between confidence and accuracy over equal-mass bins of confidence.

    Few rows make it too large, never too small on average; compare it on the same rows only.

    Source: M. Naeini, G. Cooper, M. Hauskrecht, "Obtaining well calibrated probabilities using
    Bayesian binning", AAAI 2015.
    """
    n = len(confidence)
    if n == 0:
        return 0.0
    count = max(1, min(bins, n // 10))
    edges = np.unique(np.quantile(confidence, np.arange(1, count) / count))
    bin_of = np.searchsorted(edges, confidence, side="right")  # equal confidences stay together
    gaps = np.bincount(bin_of, weights=confidence - right)
    return float(np.abs(gaps).sum() / n)
