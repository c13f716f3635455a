"""Loggers below ``edge_sdk``, by the rules for libraries: nothing is configured, and without a
handler of the application nothing is written.

``logging`` is not imported for it: that takes 3 ms of a device's start. Until somebody has imported
it, nobody can have added a handler, so there is nobody to tell.

The newest :data:`KEPT` records are kept in memory besides, whether or not somebody listens, for
``edge logs``.

No record holds a token or a row.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import logging

ROOT: Final = "edge_sdk"
KEPT: Final = 1_000
"""Records."""

_CHARACTERS: Final = 4_000
"""Longest message that is kept whole."""


class LogEntry(NamedTuple):
    """One record: its number, Unix seconds, level (``INFO``, ``WARNING``, ``ERROR``), logger."""

    number: int
    at: float
    level: str
    logger: str
    message: str


_numbers = itertools.count(1)
_recent: deque[LogEntry] = deque(maxlen=KEPT)


def recent(after: int = 0) -> list[LogEntry]:
    """Return the records that are kept and have a number above ``after``, oldest first."""
    return [entry for entry in tuple(_recent) if entry.number > after]


class Log:
    """The logger ``name``, looked up when there is something to log.

    Its methods take a message and its arguments as :mod:`logging` does.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._logger: logging.Logger | None = None

    def info(self, message: str, *arguments: object) -> None:
        """Log what an operator wants to know."""
        self._keep("INFO", message, arguments)
        if logger := self._get():
            # Two frames up is who called this method: its line belongs into the record.
            logger.info(message, *arguments, stacklevel=2)

    def warning(self, message: str, *arguments: object) -> None:
        """Log trouble."""
        self._keep("WARNING", message, arguments)
        if logger := self._get():
            logger.warning(message, *arguments, stacklevel=2)

    def exception(self, message: str, *arguments: object) -> None:
        """Log the exception that is being handled, with its traceback."""
        from traceback import format_exc

        self._keep("ERROR", message, arguments, f"\n{format_exc().rstrip()}")
        if logger := self._get():
            logger.exception(message, *arguments, stacklevel=2)

    def _keep(
        self, level: str, message: str, arguments: tuple[object, ...], trace: str = ""
    ) -> None:
        text = (message % arguments if arguments else message) + trace
        if len(text) > _CHARACTERS:
            text = f"{text[:_CHARACTERS]} …"
        _recent.append(LogEntry(next(_numbers), time.time(), level, self._name, text))

    def _get(self) -> logging.Logger | None:
        if self._logger is None and (module := sys.modules.get("logging")):
            root = module.getLogger(ROOT)
            if not root.handlers:
                # Or logging's last resort would write warnings to the application's stderr.
                root.addHandler(module.NullHandler())
            self._logger = module.getLogger(self._name)
        return self._logger
