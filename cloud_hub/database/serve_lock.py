"""One process serves a data folder whose tables are in SQLite. It holds a lock while it lives; the
system takes the lock back however the process ends, so a hub that was killed starts again at once.
Where the tables are on a server, several may serve the folder, and share the lock.

The file stays when its holder is gone: deleting it would let two processes hold locks on two files
of one name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cloud_hub.errors import Conflict

LOCK: Final = "serve.lock"


@contextlib.contextmanager
def sole_server(data: Path, *, shared: bool = False) -> Iterator[Callable[[str], None]]:
    """Be the only process that serves ``data`` while the block runs.

    Args:
        data: folder of the hub.
        shared: others may serve it too, as long as they say the same.

    Yields:
        A function that notes the URL, for the error of whoever tries to serve the folder too.

    Raises:
        Conflict: another process serves it; says which one.
        OSError: the folder cannot be written.
    """
    # "a+" creates the file, and leaves what the holder wrote there.
    with (data / LOCK).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Conflict(f"{data}: is served already{_described(file.read())}") from None

        def note(url: str) -> None:
            file.truncate(0)
            file.write(f"{os.getpid()} {url}\n")
            file.flush()

        note("")
        yield note


def _described(holder: str) -> str:
    """Describe the holder by what it wrote; nothing if it has only just begun."""
    pid, _, url = holder.strip().partition(" ")
    if not pid:
        return ""
    return f" by process {pid}" + (f" at {url}" if url else "") + "; end it first"
