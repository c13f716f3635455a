"""Accuracy estimated before any label, from the histogram of the model's confidence alone.

Each confidence bin of the reference profile knows how often the model was right there on held-out
rows; a window's estimate is that, weighted by where its predictions fall. It follows changes of the
inputs (more unsure predictions) and is *blind to concept drift*: if what is right has changed while
the inputs look the same, this estimate does not move. Only labels show that.

Source: J. Kivimäki, J. Białek, J. Nurminen, W. Kuberski, "Confidence-based estimators for
predictive performance in model monitoring", Journal of Artificial Intelligence Research 82, 2025.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_hub.deferred.libraries import norm

BLIND: Final = "blind to concept drift: it moves with the inputs, not with what is right"


@dataclass(frozen=True)
class EstimatedAccuracy:
    """An estimate with a 95% interval for the accuracy that labels would show on this window.

    ``reference`` is the accuracy on the held-out rows; ``unknown`` the share of predictions with a
    confidence that no held-out row had (they count as guesses of the nearest bin).
    """

    accuracy: float
    low: float
    high: float
    reference: float
    n: int
    unknown: float = 0.0
    note: str = BLIND

    @property
    def dropped(self) -> bool:
        """The whole interval is below the accuracy on the held-out rows."""
        return self.high < self.reference


def estimated_accuracy(
    reference: Sequence[int], correct: Sequence[int], observed: Sequence[int]
) -> EstimatedAccuracy | None:
    """Calibrated estimate from binned confidence; ``None`` without predictions or held-out rows.

    Args:
        reference: histogram [bins + 2] of confidence on held-out rows.
        correct: how many of them were right, [bins].
        observed: histogram [bins + 2] of confidence in a window.
    """
    rows, right = np.asarray(reference[:-2], np.float64), np.asarray(correct, np.float64)
    bins = np.asarray(observed[:-2], np.float64)
    n, total = bins.sum(), float(np.sum(observed))
    if n == 0 or rows.sum() == 0:
        return None
    overall = float(right.sum() / rows.sum())
    rates = (right + overall) / (rows + 1)  # a bin with few rows is drawn towards all
    share = bins / n
    mean = float(share @ rates)
    # Chance of a label once the bin is known, and chance in how often the bin was right.
    variance = float(share @ (rates * (1 - rates))) / n
    variance += float(share**2 @ (rates * (1 - rates) / (rows + 1)))
    half = float(norm.ppf(0.975)) * math.sqrt(variance)
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    return EstimatedAccuracy(mean, low, high, overall, int(total), 1 - float(n) / total)
