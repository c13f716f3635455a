"""The file of a model's sessions, which a device without any removes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

SESSIONS_FILE: Final = "sessions.db"


def remove_sessions(folder: Path) -> None:
    """Remove the file of a model's sessions, where there is one and the disk lets it."""
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            (folder / f"{SESSIONS_FILE}{end}").unlink(missing_ok=True)
