"""Control of the false discovery rate over many tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def discoveries(
    p_values: Sequence[float], rate: float, *, any_dependence: bool = False
) -> set[int]:
    """Return the indices of the tests that reject.

    Benjamini and Hochberg's step-up procedure: of the p-values in rising order, all up to the last
    that is at most ``rate * rank / tests``. Assumes tests that are independent or positively
    dependent.

    Args:
        p_values: one a test, [T].
        rate: expected share of false rejections among all, at most.
        any_dependence: hold it however the tests depend on each other, at ``rate`` over
            ``1 + 1/2 + ... + 1/tests`` (Benjamini and Yekutieli).

    Sources: Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", JRSS B 57, 1995;
    Y. Benjamini, D. Yekutieli, "The control of the false discovery rate in multiple testing under
    dependency", Annals of Statistics 29(4), 2001.
    """
    if any_dependence and len(p_values):
        rate /= float((1 / np.arange(1, len(p_values) + 1)).sum())
    order = np.argsort(p_values, kind="stable")
    limits = rate * np.arange(1, len(order) + 1) / max(1, len(order))
    passing = np.flatnonzero(np.asarray(p_values)[order] <= limits)
    return set(order[: passing[-1] + 1].tolist()) if len(passing) else set()
