"""Frames between a hub and its driver process: a kind of one byte, a length, that many bytes."""

from __future__ import annotations

import struct
from typing import IO, Final

ORDER: Final = b"O"
"""To the driver, first: what to do, as JSON."""

COMMON: Final = b"C"
"""To the driver, second: what all items share."""

ITEM: Final = b"I"
END: Final = b"E"
"""To the driver: there are no more items. It goes on until its input is closed."""

RESULT: Final = b"R"
FAULT: Final = b"F"
"""From the driver: a task failed; ``KIND MESSAGE``."""

AWAY: Final = b"U"
"""From the driver: the cluster cannot be reached, or went away; a message."""

_HEAD: Final = struct.Struct("<cQ")


def write_frame(file: IO[bytes], kind: bytes, content: bytes = b"") -> None:
    """Write one frame; raises OSError."""
    file.write(_HEAD.pack(kind, len(content)))
    file.write(content)
    file.flush()


def read_frame(file: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Return kind and content of the next frame; ``None`` at the end, also in the middle of one."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    content = file.read(length)
    return None if len(content) < length else (kind, content)
