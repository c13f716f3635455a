"""What a unit's posterior says of the variances between units: expected squares, as EM needs them."""

from __future__ import annotations

import numpy as np

from edge_sdk.personalise.class_model import ClassModel
from edge_sdk.personalise.number_model import NumberModel
from edge_sdk.personalise.unit_state import UnitState
from edge_sdk.personalise.unit_summary import UnitSummary

_LABELS = 1_000
_DEVIATIONS = 3.0


def summarise(
    state: UnitState, classes: ClassModel | None, number: NumberModel | None
) -> UnitSummary:
    """Return a unit's part of the sums.

    Args:
        state: of the unit.
        classes: mathematics of a classifier's units.
        number: of a regressor's.
    """
    tally = state.tally
    gain = (tally.own_right - tally.model_right) / max(tally.labels, 1)
    if classes is not None:
        shift, shift_square, class_square = classes.deviations(state)
    else:
        assert number is not None
        shift, shift_square, class_square = number.deviations(state)
    return UnitSummary(
        min(tally.labels, _LABELS),
        gain,
        np.clip(shift, -_DEVIATIONS, _DEVIATIONS),
        np.clip(shift_square, 0.0, _DEVIATIONS**2),
        np.clip(class_square, 0.0, _DEVIATIONS**2),
    )
