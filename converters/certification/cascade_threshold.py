"""The confidence that an answer needs to stand without the cloud: certified, or none at all."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.certification.exact_bounds import upper_bound
from converters.release_spec import CascadeTarget
from edge_sdk.contract.manifest import Cascade
from edge_sdk.serving.cascade import confidence as confidence_of

GRID: Final = tuple(np.round(np.linspace(0.99, 0.01, 99), 2).tolist())
"""Thresholds in the order in which they are tested: the strictest first."""

SCOUTS: Final = 10
"""Every tenth row only helps to choose where the sequence of tests begins."""


def calibrate(
    probabilities: NDArray[Any],
    edge_labels: NDArray[Any],
    cloud_labels: NDArray[Any],
    target: CascadeTarget = CascadeTarget(),
) -> Cascade | None:
    """Return the lowest threshold whose disagreement with the cloud is certified to be small.

    Thresholds are tested from the strictest down, each at level ``alpha``, until one fails: fixed
    sequence testing, which keeps the chance of any false certificate at ``alpha``. A threshold
    passes if the exact binomial (Clopper-Pearson) upper limit of its disagreement is at most the
    target.

    What is certified is the target. The limit of the threshold that was chosen is not: it belongs
    to one test, and the choice looked at many, so that it is too low more often than ``alpha``.

    Assumes that the rows are drawn independently from what devices will see. Where inputs or the
    relation between both models drift, nothing is certified any more; copies of a row, or many rows
    of one person, count as more evidence than they are.

    Source: A. Angelopoulos, S. Bates, E. Candès, M. Jordan, L. Lei, "Learn then Test: Calibrating
    Predictive Algorithms to Achieve Risk Control", 2021.

    Args:
        probabilities: of the on-device model, [N, classes], on rows it was not trained on.
        edge_labels: its labels, [N].
        cloud_labels: the cloud model's labels, [N].
        target: the disagreement that is allowed, and the chance to be wrong about it.

    Returns:
        The threshold with its bound, or ``None`` if nothing can be certified.
    """
    confidence = np.array([confidence_of(row, target.metric) for row in probabilities])
    alpha, most = target.alpha, target.disagreement
    differs = edge_labels.astype(str) != cloud_labels.astype(str)
    scout = np.arange(len(confidence)) % SCOUTS == 0
    start = _start(confidence[scout], SCOUTS - 1, most, alpha)
    confidence, differs = confidence[~scout], differs[~scout]  # tests see no scout: no peeking
    best = None
    for threshold in GRID[start:]:
        stands = confidence >= threshold
        bound = upper_bound(int(differs[stands].sum()), int(stands.sum()), alpha)
        if bound > most:
            break  # going on after a failure would test at a higher level than alpha
        coverage = round(float(stands.mean()), 6)
        best = Cascade(threshold, target.metric, most, alpha, coverage)
    return best


def _start(scouts: NDArray[Any], times: int, target: float, alpha: float) -> int:
    """Return the place of the strictest threshold at which enough rows are expected to stand.

    A bound cannot be met on fewer than ``log(alpha) / log(1 - target)`` rows, and the sequence ends
    at its first failure. The scouts take no part in the tests, so the place is theirs to choose.
    """
    # Half as many again: scouts are a sample, and the first test should not fail for want of rows.
    needed = 1.5 * math.log(alpha) / math.log(1 - target)
    enough = [i for i, t in enumerate(GRID) if times * (scouts >= t).sum() >= needed]
    return enough[0] if enough else len(GRID) - 1
