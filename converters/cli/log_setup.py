"""Log lines of a command on stderr: for people, or as JSON for programs."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Final

LOGGERS: Final = ("converters", "edge_sdk")
"""Our own packages. Other libraries keep the level that they have."""


def set_up_logging(level: str, form: str) -> None:
    """Send messages of our packages to stderr.

    Args:
        level: least severe messages that are shown: debug, info, warning or error.
        form: ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]  # not added: main() may run more than once in a process
        logger.setLevel(level.upper())
        logger.propagate = False


def _local_time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_local_time(record)} {record.levelname} {record.name}: {record.getMessage()}"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _local_time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)
