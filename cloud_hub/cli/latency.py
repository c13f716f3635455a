"""Quantiles of a latency histogram for people, to within its bins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


def quantiles(bins: Sequence[int], shares: Sequence[float]) -> list[float | None]:
    """Return quantiles in microseconds, ``None`` where nothing was counted.

    Args:
        bins: counts; bin ``i`` holds ``[2**(i/4), 2**((i+1)/4))`` microseconds, as the contract's
            window report has it.
        shares: of the requests that are at most as slow: 0.99 is the 99th percentile.

    Returns:
        The upper edge of the bin of each: at most 19% above the true value, never below it. In the
        last bin, which is open, its lower edge.
    """
    sums = list(accumulate(bins))
    if not sums or not sums[-1]:
        return [None] * len(shares)
    places = [next(i for i, n in enumerate(sums) if n >= share * sums[-1]) for share in shares]
    # The last bin has no upper edge: - 2 makes its lower edge stand for it.
    return [2 ** ((min(i, len(bins) - 2) + 1) / 4) for i in places]
