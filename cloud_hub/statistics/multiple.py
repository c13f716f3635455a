"""Several tests at once: the chance of any false rejection, and the share of false ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def holm(p: Mapping[str, float], alpha: float) -> set[str]:
    """Return the arms that differ, with at most ``alpha`` chance of one among them that does not.

    Holm's step-down procedure: the p-values in rising order against ``alpha / (arms left)``, up to
    the first that is above. With always-valid p-values it may be applied at any look.

    Args:
        p: by arm.
        alpha: chance of any wrong rejection.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6(2), 1979.
    """
    differing: set[str] = set()
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        if value > alpha / (len(p) - rank):
            break
        differing.add(name)
    return differing


def adjusted(p: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's adjusted p-values: an arm differs at every alpha from its own up.

    Args:
        p: by arm.
    """
    adjusted_p, least = {}, 0.0
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, value * (len(p) - rank)))
        adjusted_p[name] = least
    return adjusted_p


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
