"""The pool: release, slow memory and fast memory of a unit, weighed by how well they predicted.

Answers are pooled geometrically, so the log loss of the pool is at most the weighted mean of the
experts' (Hölder's inequality), and exponential weights on clipped losses keep the pool's total within
``(largest_loss² · rate · labels / 8 + ln(1/start)) / …`` of the best expert's (Hedge: Freund &
Schapire 1997). A share of the weights is spread anew at each label, so that the best expert may
change (fixed share: Herbster & Warmuth 1998).
"""

from __future__ import annotations

import math

from edge_sdk.contract.personal.settings import PersonalSettings

Weights = tuple[float, float, float]
"""Of the release, the slow and the fast memory; they sum to 1."""


def reweigh(weights: Weights, losses: Weights, settings: PersonalSettings) -> Weights:
    """Return the weights after one more label.

    Args:
        weights: before.
        losses: of the three experts for this label, at least 0.
        settings: rate, share, clip and the weights of the start.
    """
    largest, rate, share = settings.largest_loss, settings.rate, settings.share
    best = min(losses)
    a, b, c = (
        weight * math.exp(rate * (min(best, largest) - min(loss, largest)))
        for weight, loss in zip(weights, losses, strict=True)
    )
    keep = (1.0 - share) / (a + b + c)
    start = settings.start
    return a * keep + share * start[0], b * keep + share * start[1], c * keep + share * start[2]
