"""Something done again and again on a daemon thread until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Repeater:
    """Calls ``work`` on its own thread; what it returns is how many seconds to wait.

    ``work`` must not raise: whoever writes it decides what to do about errors.
    """

    def __init__(self, name: str, work: Callable[[], float]) -> None:
        self._work = work
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
            self._wake.wait(self._work())
