"""Log records of a command on standard error, as text or as one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Any


def configure_logging(level: str, form: str, name: str = "edge_sdk") -> None:
    """Write the records of one package to standard error.

    Args:
        level: the least that is written: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``text`` or ``json``.
        name: of the package's logger.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logger = logging.getLogger(name)
    logger.setLevel(level.upper())
    logger.addHandler(handler)


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00+01:00 INFO edge_sdk.update.updater: message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; a traceback follows on lines of its own."""
        time = _local_iso(record.created, "seconds")
        line = f"{time} {record.levelname} {record.name}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """A JSON object for each record: ``time``, ``level``, ``logger``, ``message``, and ``error``
    with a traceback where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": _local_iso(record.created, "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _local_iso(at: float, precision: str) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec=precision)
