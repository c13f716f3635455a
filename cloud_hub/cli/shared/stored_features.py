"""Freshness of stored features in words, where commands show what the fleet did."""

from __future__ import annotations

from collections.abc import Mapping


def stored_features_lines(use: Mapping[str, int]) -> list[str]:
    """Return a line on predictions with stale stored features or without any; none without both.

    Args:
        use: numbers of ``predictions``, and of those that were ``stale`` and ``defaulted``.
    """
    made, stale, defaulted = use["predictions"], use["stale"], use["defaulted"]
    if not stale and not defaulted:
        return []
    shares = [f"{count:,} of them ({count / max(1, made):.1%})" for count in (stale, defaulted)]
    return [
        f"stored features, {made:,} predictions: stale in {shares[0]}, not there in {shares[1]}"
    ]
