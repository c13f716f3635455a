"""The loop: renewals, plans, monitoring, triggers, runs, experiments, batches, packs, on and on.

Only one process of a hub loops: it holds a lock. Parts are isolated from each other: the error of
one is shown in the hub's health until it works again, and the others go on. They wait for each
other, so none may take longer than what the others can be late by: a timestamp is signed anew half
a day before it ends, a run's gate ends after minutes.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 30.0
"""Longest wait for the tick under way when the hub ends."""


class Loop:
    """Runs :meth:`tick` on a thread, again and again.

    Args:
        parts: the work, by name, in its order; each is given the time in Unix seconds.
        seconds: from the end of one tick to the next; 0 for never.
        lock: file that the one process holds that loops.
    """

    def __init__(
        self, parts: Mapping[str, Callable[[float], object]], seconds: float, lock: Path
    ) -> None:
        self._parts = parts
        self.seconds = seconds
        self._lock_path = lock
        self._lock: IO[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-loop", daemon=True)
        self.errors: dict[str, str] = {}
        self.ticked_at = time.monotonic()

    @property
    def leads(self) -> bool:
        """Return whether this process is the one that loops."""
        return self._lock is not None

    def start(self) -> None:
        """Begin, unless ``seconds`` is 0."""
        if self.seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        """End after the tick under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)
        if self._lock is not None:
            self._lock.close()

    def tick(self, now: float) -> None:
        """Do the work of every part once."""
        for name, part in self._parts.items():
            try:
                part(now)
            except Exception as error:
                self._failed(name, error)
            else:
                if self.errors.pop(name, None) is not None:
                    log.info("the loop's part %s works again", name)

    def _failed(self, name: str, error: Exception) -> None:
        # Logged once and not every second, until the error is another one.
        if self.errors.get(name) != repr(error):
            log.exception("the loop's part %s failed", name)
        self.errors[name] = repr(error)

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            if self._leads():
                self.tick(time.time())
                self.ticked_at = time.monotonic()

    def _leads(self) -> bool:
        """Take the lock, unless another process of the hub has it."""
        if self._lock is not None:
            return True
        file = self._lock_path.open("wb")
        try:
            # The system takes it back however the process ends, so the next one leads at once.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._lock = file
        log.info("this process runs the hub's loop")
        return True
