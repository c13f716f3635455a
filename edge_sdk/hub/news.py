"""What a hub says with the answer to a poll, besides whether there is news.

A hub's word is bounded: whatever it says, a device asks again within :data:`LONGEST` seconds, and
puts a download off for no longer than :data:`LONGEST_SPREAD`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.version import ASKS, NEXT_SYNC, SPREAD
from edge_sdk.hub.pause import LONGEST

LONGEST_SPREAD: Final = 600.0
_DIGITS: Final = 9


@dataclass(frozen=True)
class HubAdvice:
    """The advice of a hub.

    Attributes:
        next_sync: seconds from one sync to the next that the hub asks for; 0 for no wish.
        spread: seconds over which devices that learned of news together should spread what they
            download; 0: no need to.
        cached: a cache on the way answered, so the hub does not know that this device is there.
        asks: what the hub asks of this device alone, if anything.
    """

    next_sync: float = 0.0
    spread: float = 0.0
    cached: bool = False
    asks: frozenset[str] = frozenset()


def advice_of(headers: Mapping[str, str]) -> HubAdvice:
    """Return the advice in the headers of an answer; what cannot be read is none."""
    cached = "Age" in headers
    # What a cache kept may have been meant for another device.
    asks = "" if cached else headers.get(ASKS, "")[:200]
    return HubAdvice(
        min(_seconds(headers.get(NEXT_SYNC, "")), LONGEST),
        min(_seconds(headers.get(SPREAD, "")), LONGEST_SPREAD),
        cached,
        frozenset(word for word in asks.replace(" ", "").split(",") if word),
    )


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0.0


class DownloadSpread:
    """The moment before which a device that learned of news with many others downloads nothing.

    Args:
        clock: monotonic seconds.
        draw: numbers from 0 to 1.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._until = float("-inf")

    def begin(self, seconds: float) -> None:
        """Put downloads off by a part of so many seconds, at random; one that is on stays."""
        with self._lock:
            if self.left == 0:
                self._until = self._clock() + seconds * self._draw()

    @property
    def left(self) -> float:
        """Seconds to wait; 0 for none."""
        return max(0.0, self._until - self._clock())
