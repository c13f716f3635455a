"""The pool: release, slow memory and fast memory of a unit, weighed by how well they predicted.

Answers are pooled geometrically: the log loss of the pool is at most the weighted mean of the
experts' (Hölder's inequality). Weights are exponential in the experts' losses (Hedge: Freund &
Schapire 1997), which are bounded, since a share of labels is taken to be wrong; a share of the
weights is spread anew at each label, so that the best expert may change (fixed share: Herbster &
Warmuth 1998).
"""

from __future__ import annotations

import math

from edge_sdk.contract.personal.settings import PersonalSettings

Weights = tuple[float, float, float]
"""Of the release, the slow and the fast memory; they sum to 1."""

Losses = tuple[float, float, float]
"""Of the same, for one label."""


def reweigh(weights: Weights, losses: Losses, settings: PersonalSettings) -> Weights:
    """Return the weights after one more label.

    Args:
        weights: before.
        losses: of the three experts, bounded.
        settings: rate, share and the weights of the start.
    """
    rate, share = settings.rate, settings.share
    release, slow, fast = losses
    best = min(losses)
    a = weights[0] * math.exp(rate * (best - release))
    b = weights[1] * math.exp(rate * (best - slow))
    c = weights[2] * math.exp(rate * (best - fast))
    keep = (1.0 - share) / (a + b + c)
    first, second, third = settings.start
    return a * keep + share * first, b * keep + share * second, c * keep + share * third
