"""Names of requests, by which an answer, its lines in the log and a proxy's are found together."""

from __future__ import annotations

import logging
import random
import re
from contextvars import ContextVar
from typing import Final

HEADER: Final = "X-Request-ID"
_SANE: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")

CURRENT: Final[ContextVar[str]] = ContextVar("request id", default="")
"""Of the request that this task or thread answers; empty outside of any."""


def request_id(given: bytes | None) -> str:
    """Return the id of a request: the one that it came with if that is sane, else a new one.

    It goes into logs and headers, so what is long, or has other characters than letters, digits and
    ``._-``, is replaced and not repaired.

    Args:
        given: value of its header, ``None`` if it has none.
    """
    if given is not None and _SANE.fullmatch(given):
        return given.decode("ascii")
    # No secret, so no system call: a process that is forked begins anew.
    return f"{random.getrandbits(64):016x}"


def add_request_id(record: logging.LogRecord) -> bool:
    """Filter of a handler: note on a record the request that it was logged in, and let it pass."""
    if request := CURRENT.get():
        record.request = request
    return True
