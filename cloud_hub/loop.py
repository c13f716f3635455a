"""The loop: plans, monitoring, triggers, runs, experiments, packs and renewals, again and again.

Only one process of a hub loops: it holds a lock. Each part is isolated: an error in one is kept and
shown, and the others go on.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)


class Loop:
    """Runs :meth:`tick` on a thread, every ``seconds``; ``parts`` are given the time."""

    def __init__(
        self, parts: Mapping[str, Callable[[float], object]], seconds: float, lock: Path
    ) -> None:
        self._parts = parts
        self._seconds = seconds
        self._lock_path = lock
        self._lock: IO[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-loop", daemon=True)
        self.errors: dict[str, str] = {}

    def start(self) -> None:
        """Begin, unless ``seconds`` is 0."""
        if self._seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        """End after the tick under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        if self._lock is not None:
            self._lock.close()

    def tick(self, now: float) -> None:
        """Look at everything once."""
        for name, part in self._parts.items():
            try:
                part(now)
                self.errors.pop(name, None)
            except Exception as error:
                if self.errors.get(name) != repr(error):
                    log.warning("the loop's part %s failed", name, exc_info=True)
                self.errors[name] = repr(error)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            if self._leads():
                self.tick(time.time())

    def _leads(self) -> bool:
        if self._lock is not None:
            return True
        file = self._lock_path.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._lock = file
        return True
