"""Adjustment of p-values for several comparisons at once."""

from __future__ import annotations

from collections.abc import Mapping


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
