"""When a worker that ended is started again: a pure decision."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 30.0

STEADY_SECONDS: Final = 60.0
"""A worker that lived so long did not end because of how it was started."""


def deaths_in_a_row(before: int, lived: float) -> int:
    """Return how many workers of one place ended early, one after the other.

    Args:
        before: that number until now.
        lived: seconds that the one that has ended was there.
    """
    return 1 if lived >= STEADY_SECONDS else before + 1


def restart_delay(deaths: int) -> float:
    """Return the seconds to wait after so many ends in a row.

    The first is replaced at once: it was killed, or ran out of memory. What ends again and again
    would only keep the machine busy.
    """
    if deaths <= 1:
        return 0.0
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(deaths - 2, 30))
