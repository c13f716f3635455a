"""Many tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def discoveries(p_values: Sequence[float], rate: float) -> set[int]:
    """Which tests reject, with a false discovery rate of at most ``rate`` among all.

    Source: Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", JRSS B 57, 1995.
    """
    order = np.argsort(p_values, kind="stable")
    limits = rate * np.arange(1, len(order) + 1) / max(1, len(order))
    passing = np.flatnonzero(np.asarray(p_values)[order] <= limits)
    return set(order[: passing[-1] + 1].tolist()) if len(passing) else set()
