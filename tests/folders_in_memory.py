"""Folders of tests in memory, where a machine has the room.

What is on a disk waits for the disk: a hub of a test would write its keys and its tables to be
safe from a loss of power, which no test brings about. Whoever names a folder (``TMPDIR``) has it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
ROOM: Final = 4 << 30
"""Bytes; a run needs a quarter of it at a time."""


def use_memory() -> None:
    """Have this process, and those that it starts, make their temporary folders in memory."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return
    if min(shutil.disk_usage(MEMORY).free, _available()) >= ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)  # who has asked remembers


def _available() -> int:
    """Return the bytes of memory that programs may still take; 0 where that is not told."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    sizes = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(next(sizes, "0")) << 10
