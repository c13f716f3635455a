"""How often devices are told to come: never more often than their applications chose.

A hub with an opinion says it with every answer to a poll or a check-in, as ``Edge-Next-Sync:
SECONDS``, give or take a tenth, so that a fleet does not come in step. It has one where its owner
gave it an interval, and where more polls come than it is made for: then devices come more rarely
until as many come as are welcome. How long a hub can silence a device, the device decides
(:data:`edge_sdk.hub.pause.LONGEST`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from edge_sdk.contract.version import NEXT_SYNC

USUAL_SECONDS: Final = 60.0
"""Interval of devices that nobody told another one: ``sync_seconds`` of a device."""

LONGEST_SECONDS: Final = 3_600.0
WELCOME: Final = 1_500.0
"""Polls a second of one process: half of what one core answers."""

LOOK_SECONDS: Final = 10.0
"""Between two looks at how many came."""


def next_interval(told: float, least: float, rate: float, welcome: float = WELCOME) -> float:
    """Return the seconds between two polls that would bring as many as are welcome.

    Args:
        told: interval that those who came were told, seconds.
        least: interval without any load, seconds.
        rate: polls a second that came.
        welcome: polls a second that should.
    """
    wanted = told * rate / welcome
    # By no more than a factor of two at once: those who come late were told something else.
    steady = min(max(wanted, told / 2), told * 2)
    return min(max(steady, least), max(least, LONGEST_SECONDS))


class SyncPace:
    """The interval that one process tells devices. For one thread, that of the event loop.

    Args:
        seconds: interval without load; 0: devices keep their own.
        clock: monotonic seconds.
        spread: factor by which an interval is jittered.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = lambda: random.uniform(0.9, 1.1),
    ) -> None:
        self._least = seconds or USUAL_SECONDS
        self._always = seconds > 0
        self._clock = clock
        self._spread = spread
        self._told = self._least
        self._came, self._since = 0, clock()

    def came(self) -> None:
        """Count a poll."""
        self._came += 1
        passed = self._clock() - self._since
        if passed >= LOOK_SECONDS:
            self._told = next_interval(self._told, self._least, self._came / passed)
            self._came, self._since = 0, self._clock()

    def told(self) -> dict[str, str]:
        """Return the headers of an answer; none where devices should do as they are used to."""
        if not self._always and self._told <= self._least:
            return {}
        return {NEXT_SYNC: str(max(1, round(self._told * self._spread())))}
