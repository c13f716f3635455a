"""A moment by which several steps have to be done together."""

from __future__ import annotations

import time


class Deadline:
    """A moment of the monotonic clock.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds

    def left(self, *, reserve: float = 0.0) -> float:
        """Return the seconds until then, 0.01 at least.

        Args:
            reserve: share of the whole time that is kept for later steps.
        """
        return max(0.01, self._ends - reserve * self._seconds - time.monotonic())
