"""What of a device's log may leave it. Pure.

Records hold no token and no row (:mod:`edge_sdk.system.logs`). What leaves the device is poorer
still, since an exception of an application may quote anything: first lines only, and neither quoted
values nor what an error says it got, passwords in URLs, or words that could be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.fleet import DeviceLogLine
from edge_sdk.contract.limits import LATEST, LOG_CHARACTERS, LOG_LINES

if TYPE_CHECKING:
    from edge_sdk.system.logs import LogEntry

_HIDDEN: Final = (
    (re.compile(r"\b(got|Bearer) .*", re.IGNORECASE), r"\1 …"),
    (re.compile(r"(://)[^/\s@]*@"), r"\1…@"),
    # A value between quotes: of a row, or of an application's error.
    (re.compile(r"'[^']*'|\"[^\"]*\""), "'…'"),
    # Long words are digests, where their beginning says enough, or secrets, where it says little.
    (re.compile(r"\b([A-Za-z0-9_-]{8})[A-Za-z0-9_=-]{16,}"), r"\1…"),
)
"""Patterns, and what takes their place, in turn."""


def outgoing_lines(entries: Iterable[LogEntry]) -> tuple[DeviceLogLine, ...]:
    """Return the newest records as they may be sent, oldest first."""
    newest = list(entries)[-LOG_LINES:]
    return tuple(
        DeviceLogLine(min(max(e.at, 0.0), LATEST), e.level, e.logger, without_values(e.message))
        for e in newest
    )


def without_values(message: str) -> str:
    """Return the first line of a message, without what could be a value or a secret."""
    line = "".join(c if c.isprintable() else " " for c in message.partition("\n")[0])
    for pattern, instead in _HIDDEN:
        line = pattern.sub(instead, line)
    return line if len(line) <= LOG_CHARACTERS else f"{line[: LOG_CHARACTERS - 1]}…"
