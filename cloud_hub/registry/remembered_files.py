"""Files of metadata in memory, and for a moment which there are not."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

BYTES: Final = 64 << 20
"""Most bytes that are remembered; the newest file of each role is read again and again."""

ABSENT: Final = 1_024
"""Names that are remembered to be none: every device asks for the root that may come next."""


class RememberedFiles:
    """What never changes under its name, the latest used. Safe from several threads.

    Args:
        clock: monotonic seconds.
        absent_seconds: for which a name that was none is taken to be none still.
    """

    def __init__(self, clock: Callable[[], float], absent_seconds: float) -> None:
        self._clock = clock
        self._absent_seconds = absent_seconds
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._newest: dict[str, int] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: str) -> bytes | None:
        """Return a file that is remembered."""
        with self._lock:
            if name in self._files:
                self._files.move_to_end(name)
            return self._files.get(name)

    def put(self, name: str, raw: bytes) -> None:
        """Remember a file, and forget the one that was asked for the longest time ago."""
        with self._lock:
            self._absent.pop(name, None)
            self._bytes += len(raw) - len(self._files.pop(name, b""))
            self._files[name] = raw
            while self._bytes > BYTES and len(self._files) > 1:
                self._bytes -= len(self._files.popitem(last=False)[1])

    def is_absent(self, name: str) -> bool:
        """Return whether there was no such file a moment ago."""
        with self._lock:
            at = self._absent.get(name)
            return at is not None and self._clock() - at < self._absent_seconds

    def note_absent(self, name: str) -> None:
        """Remember for a moment that there is no such file."""
        with self._lock:
            self._absent[name] = self._clock()
            self._absent.move_to_end(name)
            if len(self._absent) > ABSENT:
                self._absent.popitem(last=False)

    def forget_absent(self) -> None:
        """Take no name for none any more: something new was published."""
        with self._lock:
            self._absent.clear()

    def newest(self, role: str) -> int:
        """Return the version of a role below which nobody needs to look; 0 at first."""
        return self._newest.get(role, 0)

    def note_newest(self, role: str, version: int) -> None:
        """Remember that there is this version of a role."""
        self._newest[role] = max(version, self.newest(role))
