"""Threads that serve connections, one each; a thread that is done takes the next connection.

A thread that has answered before has its buffers bound to the model already, so it is kept for a
while for the next client.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Final

from edge_sdk.system.logs import Log

_log = Log(__name__)

KEPT_SECONDS: Final = 30.0
"""Seconds after which a thread that has nothing to do ends."""


class ConnectionThreads:
    """Daemon threads, as many as there are connections at a time."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0

    def run(self, job: Callable[[], None]) -> None:
        """Run ``job`` in a thread that is free, or a new one.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        with self._lock:
            is_new = self._free == 0
            if not is_new:
                self._free -= 1
        if is_new:
            threading.Thread(target=self._work, args=(job,), name="edge-serve", daemon=True).start()
        else:
            self._jobs.put(job)

    def _work(self, job: Callable[[], None]) -> None:
        while True:
            try:
                job()
            except Exception:
                _log.exception("a connection of the local server failed")
            with self._lock:
                self._free += 1
            try:
                job = self._jobs.get(timeout=KEPT_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._free:
                        self._free -= 1
                        return
                job = self._jobs.get()  # this thread was promised to a job that comes just now
