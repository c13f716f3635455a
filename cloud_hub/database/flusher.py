"""What is kept in memory is written to the database every now and then, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 10.0


class Flusher:
    """Calls ``flush`` every :data:`FLUSH_SECONDS`; a database that is away costs nothing but time.

    Args:
        name: of the thread.
        what: waits for the database where it does not take it, for the log.
        flush: writes what there is, and keeps it where it raises SQLAlchemyError.
    """

    def __init__(self, name: str, what: str, flush: Callable[[], object]) -> None:
        self._what, self._flush = what, flush
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failed = False

    def start(self) -> None:
        """Write every :data:`FLUSH_SECONDS` from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Write once more, and never again."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.attempt()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self.attempt()

    def attempt(self) -> None:
        """Write now; where the database does not take it the log says so, once."""
        try:
            self._flush()
        except SQLAlchemyError as error:
            # Not every ten seconds, until it works again.
            if not self._failed:
                log.warning("%s waits for the database: %s", self._what, error)
            self._failed = True
        else:
            self._failed = False
