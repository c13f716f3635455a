"""A hub that asks to come later is left alone for as long as it says, by every thread."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from edge_sdk.errors import HubBusy

DEFAULT: Final = 5.0
"""Seconds to wait where the hub, or what stands before it, does not say how long."""

LONGEST: Final = 3_600.0
"""Seconds that a hub may ask for: a wrong number must not silence a fleet for a year."""


class Pause:
    """The time until which nothing is asked of the hub.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until = float("-inf")

    def begin(self, seconds: float) -> None:
        """Ask nothing for so many seconds; a longer pause that has begun stays."""
        with self._lock:
            self._until = max(self._until, self._clock() + seconds)

    def check(self, url: str) -> None:
        """Raise HubBusy while the hub is left alone; ``url`` is what would be asked."""
        if left := self.left:
            raise HubBusy(f"{url}: not asked, the hub is busy for {left:.0f} s more", 429, left)

    @property
    def left(self) -> float:
        """Seconds to wait; 0 if the hub may be asked."""
        return max(0.0, self._until - self._clock())


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that an answer asks to wait, at most :data:`LONGEST`.

    Args:
        headers: of the answer. A ``Retry-After`` that is a date counts from the answer's own
            ``Date``: the clock here may be wrong.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdigit() else _seconds_until(text, headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        seconds = DEFAULT
    return min(LONGEST, max(0.0, seconds))


def _seconds_until(later: str, now: str) -> float:
    gap: datetime.timedelta = parsedate_to_datetime(later) - parsedate_to_datetime(now)
    return gap.total_seconds()
