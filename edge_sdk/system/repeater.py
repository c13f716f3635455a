"""Something done again and again on a daemon thread until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
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

    def start(self) -> None:
        """Begin; the first call comes at once."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Ask it to end and wait up to ``timeout`` seconds for a call that is under way."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                wait = self._work()
                self.error = None
            except Exception as error:
                _log.exception("%s: failed, will try again", self._thread.name)
                self.error, wait = error, AFTER_ERROR
            self._wake.wait(wait)
