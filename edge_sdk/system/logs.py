"""Loggers below ``edge_sdk``, by the rules for libraries: nothing is configured, and without a
handler of the application nothing is written.

``logging`` is not imported for it: that takes 3 ms of a device's start. Until somebody has imported
it, nobody can have added a handler, so there is nobody to tell.

No record holds a token or a row.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging

ROOT: Final = "edge_sdk"


class Log:
    """The logger ``name``, looked up when there is something to log.

    Its methods take a message and its arguments as :mod:`logging` does.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._logger: logging.Logger | None = None

    def info(self, message: str, *arguments: object) -> None:
        """Log what an operator wants to know."""
        if logger := self._get():
            # Two frames up is who called this method: its line belongs into the record.
            logger.info(message, *arguments, stacklevel=2)

    def warning(self, message: str, *arguments: object) -> None:
        """Log trouble."""
        if logger := self._get():
            logger.warning(message, *arguments, stacklevel=2)

    def exception(self, message: str, *arguments: object) -> None:
        """Log the exception that is being handled, with its traceback."""
        if logger := self._get():
            logger.exception(message, *arguments, stacklevel=2)

    def _get(self) -> logging.Logger | None:
        if self._logger is None and (module := sys.modules.get("logging")):
            root = module.getLogger(ROOT)
            if not root.handlers:
                # Or logging's last resort would write warnings to the application's stderr.
                root.addHandler(module.NullHandler())
            self._logger = module.getLogger(self._name)
        return self._logger
