"""What one label said of the release's answer and of the unit's own."""

from __future__ import annotations

from typing import NamedTuple


class LabelOutcome(NamedTuple):
    """Both answers to one row, judged before the label was learnt.

    Attributes:
        own_right: whether the release's own answer was right; of a number, whether it was at
            least as near as the unit's.
        personal_right: whether the unit's was.
        model_loss: of the release's: log loss in nats, clipped; of a number half the squared
            error over the noise's variance, clipped.
        personal_loss: of the unit's.
        comparison: in [-1, 1], above 0 where the unit's own answer was the better one: what
            guards take.
    """

    own_right: bool
    personal_right: bool
    model_loss: float
    personal_loss: float
    comparison: float
