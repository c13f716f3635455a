"""The memory that this process held at most, since it was last asked to begin anew."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_RESET: Final = "5"
"""Has Linux forget the most memory that a process ever held (``man 5 proc``)."""


def reset_peak() -> None:
    """Begin anew, on systems that can; elsewhere the peak stays that of the whole process."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text(_RESET)


def peak_mb() -> float:
    """Return the most memory that this process held, MiB."""
    try:
        match = re.search(r"^VmHWM:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        match = None
    if match is not None:
        return int(match[1]) / 1024
    import resource  # not on Windows, which has nothing in its place

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
