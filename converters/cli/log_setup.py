"""Log lines of a command on standard error, as text or as one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Final, TextIO

OURS: Final = ("converters", "edge_sdk")
"""Packages whose records are written. Other libraries keep the level that they have."""


def configure_logging(level: str, form: str) -> None:
    """Write the records of our packages to standard error.

    Args:
        level: the least that is written: debug, info, warning or error.
        form: ``text`` or ``json``.
    """
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    for name in OURS:
        logger = logging.getLogger(name)
        # Replaced, not added: main() may run more than once in a process, as in tests.
        logger.handlers = [handler]
        logger.setLevel(level.upper())


class StderrHandler(logging.StreamHandler[TextIO]):
    """A handler that writes to whatever standard error is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # not the parent's, which would set the stream

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error, which a caller of main() may have redirected since."""
        return sys.stderr


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00+01:00 INFO converters: message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; a traceback follows on lines of its own."""
        time = _local_iso(record, "seconds")
        line = f"{time} {record.levelname} {record.name}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """A JSON object a record: ``time``, ``level``, ``logger``, ``message``, ``error`` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {
            "time": _local_iso(record, "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _local_iso(record: logging.LogRecord, precision: str) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec=precision)
