"""How much an error of a number counts at most, where the policy does not say. Pure.

One reading of a broken sensor, a million degrees off, must not outweigh all other errors of a
fleet. All versions of a model are held to the same bound, that of the release that serves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edge_sdk.contract.profile import ReferenceProfile

LEAST_FIT: Final = 0.2
"""Least root of R² that is believed: a model that explains nothing says nothing of the targets."""


def largest_error(profile: ReferenceProfile, score: float | None) -> float | None:
    """Return the range of the targets, as the answers to held-out rows show it.

    Answers that explain a share R² of the targets' variance have about its root of their range. So
    an error counts as "off by the whole range" at most. ``None`` if all answers were the same, or
    there are none.

    Args:
        profile: of the release that serves; its output ``value`` has the range of the answers.
        score: R² on held-out rows; ``None`` if nobody measured it.
    """
    value = next((output for output in profile.outputs if output.name == "value"), None)
    if value is None or not value.edges or len(value.edges) < 2:
        return None
    # Said so that a score that is no number explains nothing.
    explained = 1.0 if score is None else min(score, 1.0) if score > 0 else 0.0
    fit = max(LEAST_FIT, math.sqrt(explained))
    span = (value.edges[-1] - value.edges[0]) / fit
    return float(f"{span:.3g}") if 0 < span < math.inf else None
