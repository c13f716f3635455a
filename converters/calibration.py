"""When is the on-device model sure enough? A threshold with a certified bound, or none."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from edge_sdk.contract.manifest import Cascade

GRID: Final = tuple(np.round(np.linspace(0.99, 0.30, 70), 2).tolist())
"""Thresholds in the order in which they are tested: the strictest first."""

TARGET: Final = 0.02
ALPHA: Final = 0.05


def calibrate(
    probabilities: NDArray[Any],
    edge_labels: NDArray[Any],
    cloud_labels: NDArray[Any],
    *,
    target: float = TARGET,
    alpha: float = ALPHA,
) -> Cascade | None:
    """The lowest threshold whose disagreement with the cloud is certified to be at most ``target``.

    Thresholds are tested from the strictest down, each at level ``alpha``, until one fails: fixed
    sequence testing, which keeps the chance of any false certificate at ``alpha``. The bound of
    each is the exact binomial (Clopper-Pearson) upper limit.

    Source: A. Angelopoulos, S. Bates, E. Candès, M. Jordan, L. Lei, "Learn then Test: Calibrating
    Predictive Algorithms to Achieve Risk Control", 2021.

    Args:
        probabilities: of the on-device model, [N, classes], on rows it was not trained on.
        edge_labels: its labels, [N].
        cloud_labels: the cloud model's labels, [N].
        target: largest share of disagreement among answers that stand.
        alpha: chance that the certificate is wrong.

    Returns:
        The threshold with its bound, or ``None`` if nothing can be certified.
    """
    confidence = probabilities.max(axis=1)
    differs = edge_labels.astype(str) != cloud_labels.astype(str)
    best = None
    for threshold in GRID:
        stands = confidence >= threshold
        bound = upper_bound(int(differs[stands].sum()), int(stands.sum()), alpha)
        if bound > target:
            if best is not None:
                break
            continue  # too few rows stand to certify anything yet
        best = Cascade(
            threshold=threshold,
            bound=round(bound, 6),
            alpha=alpha,
            coverage=round(float(stands.mean()), 6),
        )
    return best


def upper_bound(errors: int, rows: int, alpha: float) -> float:
    """Clopper-Pearson upper confidence limit of a share, at level ``1 - alpha``."""
    return 1.0 if errors >= rows else float(beta.ppf(1 - alpha, errors + 1, rows - errors))
