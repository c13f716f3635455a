"""What is asked of devices just now, in the memory of one process: a poll asks no database.

Another process may have opened or closed a question: what is in memory is read anew every
:data:`SECONDS` while devices poll. For one event loop, but for :meth:`AskedDevices.changed`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from edge_sdk.contract.version import ASKS

SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 60.0
"""Until a device that waits is told the same again: one of an older SDK takes no notice, and would
not be let wait any more."""


class AskedDevices:
    """Questions that are open, by device.

    Args:
        read: reads them from the database.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, frozenset[str]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._asked: Mapping[str, frozenset[str]] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Future[None] | None = None
        self._told_at: dict[str, float] = {}

    def of(self, device: str) -> frozenset[str]:
        """Return what is asked of a device, as it was known a moment ago."""
        return self._asked.get(device, frozenset())

    def told(self, device: str) -> dict[str, str]:
        """Return the headers of an answer to a device; such an answer is for no cache."""
        asked = self.of(device)
        return {ASKS: ", ".join(sorted(asked)), "Cache-Control": "no-store"} if asked else {}

    def is_due(self, device: str, *, waits: bool) -> bool:
        """Return whether the answer to a device that polls is to say what is asked of it.

        Args:
            device: that polls.
            waits: it would wait for news.
        """
        now = self._clock()
        if device not in self._asked or (waits and not self._is_new(device, now)):
            return False
        self._told_at[device] = now
        return True

    def new(self) -> list[str]:
        """Return the devices that are asked something and were not told of late."""
        self.refresh_soon()
        now = self._clock()
        return [device for device in self._asked if self._is_new(device, now)]

    def _is_new(self, device: str, now: float) -> bool:
        return now - self._told_at.get(device, float("-inf")) >= AGAIN_SECONDS

    def refresh_soon(self) -> None:
        """Have them read anew on another thread, if that was longer ago; needs an event loop."""
        busy = self._reading is not None and not self._reading.done()
        if not busy and self._clock() - self._read_at >= SECONDS:
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(None, self.changed)

    def changed(self) -> None:
        """Read them now; a database that does not answer leaves what is known."""
        self._read_at = self._clock()
        try:
            asked = self._read()
        except SQLAlchemyError:
            return
        self._asked = asked
        for device in self._told_at.keys() - asked.keys():
            self._told_at.pop(device, None)
