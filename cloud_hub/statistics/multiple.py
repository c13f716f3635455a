"""Several arms against one control.

Source:
    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6(2), 1979.
"""

from __future__ import annotations

from collections.abc import Mapping


def holm(p: Mapping[str, float], alpha: float) -> set[str]:
    """The arms that differ, with at most ``alpha`` chance of one that does not.

    With always-valid p-values it may be asked at any look.
    """
    found: set[str] = set()
    for done, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        if value > alpha / (len(p) - done):
            break
        found.add(name)
    return found


def adjusted(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: an arm differs at every alpha from its own up."""
    found, least = {}, 0.0
    for done, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, value * (len(p) - done)))
        found[name] = least
    return found
