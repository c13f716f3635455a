"""The log of ``edge-hub serve``: text for people or JSON for log collectors, never a token."""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
from typing import Final, Literal

OURS: Final = ("edge_sdk", "converters", "cloud_hub", "uvicorn")
"""Loggers that follow ``--log-level``; those of other libraries speak up from warnings on."""

SECRET: Final = re.compile(
    r"""(?ix)
    (bearer\s+ | \b(?:token|password|secret)["']?\s*[=:]\s*["']?)  # what announces a secret
    [^\s"'&,;}]+
    """
)
URL_PASSWORD: Final = re.compile(r"(://[^:/@\s]*:)[^@\s/]+@")


def configure_logging(level: str, form: Literal["text", "json"]) -> None:
    """Send every logger of this process to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``text``, or ``json`` for one object a line with ``time`` (ISO), ``level``,
            ``logger``, ``message``, and ``error`` with the traceback where there is one.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries tell their steps at INFO (alembic, tuf): an operator did not ask for those.
    root.setLevel(max(number, logging.WARNING))
    for name in OURS:
        logger = logging.getLogger(name)
        logger.setLevel(number)
        logger.handlers.clear()  # uvicorn's own would say everything twice
        logger.propagate = True


def without_secrets(text: str) -> str:
    """The text with tokens and passwords replaced, in case a library or an error shows one."""
    return URL_PASSWORD.sub(r"\1***@", SECRET.sub(r"\1***", text))


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00+01:00 INFO cloud_hub.loop: message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, with its traceback below."""
        head = f"{_time(record, 'seconds')} {record.levelname} {record.name}: {record.getMessage()}"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return without_secrets(head + trace)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; line breaks are escaped, so it stays one line."""
        entry = {
            "time": _time(record, "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if record.exc_info:
            entry["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(entry)


def _time(record: logging.LogRecord, precision: str) -> str:
    at = datetime.datetime.fromtimestamp(record.created).astimezone()
    return at.isoformat(timespec=precision)
