"""Log records of a program on standard error: text for people, or one JSON object a line.

The three programs share it. Secrets are masked here, in case a library or an error shows one.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Final, TextIO

_ANNOUNCED: Final = re.compile(
    r"""(?ix)
    (bearer\s+ | \b(?:token|password|secret)["']?\s*[=:]\s*["']?)  # what announces a secret
    [^\s"'&,;}]+
    """
)
_URL_PASSWORD: Final = re.compile(r"(://[^:/@\s]*:)[^@\s/]+@")


def configure_logging(level: str, form: str, packages: Iterable[str] = ("edge_sdk",)) -> None:
    """Write the records of our packages to standard error; other libraries keep their levels.

    Args:
        level: the least that is written: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``text`` or ``json``.
        packages: names of the packages' loggers.
    """
    handler = log_handler(form)
    for name in packages:
        logger = logging.getLogger(name)
        # Replaced, not added: main() may run more than once in a process, as in tests.
        logger.handlers = [handler]
        logger.setLevel(level.upper())


def log_handler(form: str) -> logging.Handler:
    """Return a handler that writes to standard error, as ``text`` or ``json``."""
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    return handler


def without_secrets(text: str) -> str:
    """Return the text with tokens and passwords replaced by ``***``."""
    return _URL_PASSWORD.sub(r"\1***@", _ANNOUNCED.sub(r"\1***", text))


class StderrHandler(logging.StreamHandler[TextIO]):
    """A handler that writes to whatever standard error is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # not the parent's, which would set the stream

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Standard error, which a caller of main() may have redirected since."""
        return sys.stderr


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00+01:00 INFO edge_sdk.update.updater: message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; a traceback follows on lines of its own."""
        head = f"{_time(record, 'seconds')} {record.levelname} {record.name}: {record.getMessage()}"
        if request := getattr(record, "request", ""):
            head += f" (request {request})"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return without_secrets(head + trace)


class JsonFormatter(logging.Formatter):
    """A JSON object a record: ``time``, ``level``, ``logger``, ``message``.

    Where there are some, also ``request`` (its id) and ``error`` (a traceback).
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; line breaks are escaped, so it stays one line."""
        fields = {
            "time": _time(record, "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if request := getattr(record, "request", ""):
            fields["request"] = request
        if record.exc_info:
            fields["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(fields)


def _time(record: logging.LogRecord, precision: str) -> str:
    """Local time as ISO 8601 with its offset."""
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec=precision)
