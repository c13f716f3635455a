"""Something done again and again on a daemon thread until it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from edge_sdk.system.logs import Log

_log = Log(__name__)

AFTER_ERROR: Final = 5.0
"""Seconds."""


class Repeater:
    """Calls ``work`` on its own thread; what it returns is how many seconds to wait.

    An error does not end the thread: it is kept in ``error`` and logged, and ``work`` is called
    again after :data:`AFTER_ERROR` seconds.
    """

    def __init__(self, name: str, work: Callable[[], float]) -> None:
        self._work = work
        self.name = name
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._began: float | None = None

    def start(self) -> None:
        """Begin; the first call comes at once."""
        self._thread.start()

    def stalled(self, seconds: float) -> str | None:
        """Return that the thread has died, or that one call has taken longer than ``seconds``."""
        began, name = self._began, self._thread.name
        if not self._thread.is_alive() and not self._stop.is_set():
            return f"the thread {name} has ended"
        if began is not None and time.monotonic() - began > seconds:
            return f"the thread {name} has stood still for {time.monotonic() - began:.0f} s"
        return None

    def stop(self, timeout: float) -> None:
        """Ask it to end and wait up to ``timeout`` seconds for a call that is under way."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._began = time.monotonic()
            try:
                wait = self._work()
                self.error = None
            except Exception as error:
                _log.exception("%s: failed, will try again", self._thread.name)
                self.error, wait = error, AFTER_ERROR
            self._began = None
            self._wake.wait(wait)


def first_failure(repeaters: Sequence[Repeater]) -> str | None:
    """Return that the last call of one of some repeaters failed, and why."""
    return next((f"{r.name} fails: {r.error}" for r in repeaters if r.error is not None), None)


def first_stall(repeaters: Sequence[Repeater], seconds: Sequence[float]) -> str | None:
    """Return the first trouble of some repeaters, each with the seconds that its call may take."""
    stalls = (r.stalled(longest) for r, longest in zip(repeaters, seconds, strict=False))
    return next(filter(None, stalls), None)
