"""Folders of a node's workers, which go with the process that made them, or after it.

Ray ends its processes with SIGKILL: what one of them could not remove the next one does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloud_hub.engine.folders import LOG
from cloud_hub.isolation.workers import PREFIX, Workers
from cloud_hub.settings import WorkerSettings

OWN: Final = "edge-hub-node-"
"""Prefix of a node's folder; in it ``lock`` is locked while its process lives, and ``work`` names
the folder of its worker."""


@contextlib.contextmanager
def node_workers(
    settings: WorkerSettings = WorkerSettings(),
) -> Iterator[tuple[Workers, Path, Path]]:
    """Give workers of a node, which has no data of a hub, with a folder and a log."""
    _remove_orphans()
    with scratch_folder() as own:
        (own / "data").mkdir()
        workers = Workers(own / "data", settings)
        work = workers.new_folder()
        (own / "work").write_text(str(work))
        try:
            yield workers, work, own / LOG
        finally:
            workers.remove(work)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a new folder, which is removed in the end."""
    with tempfile.TemporaryDirectory(prefix=OWN) as name:
        own = Path(name).resolve()
        file = (own / "new").open("wb")
        try:
            # Locked before it has its name: one of that name that is not locked is an orphan.
            fcntl.flock(file, fcntl.LOCK_EX)
            (own / "new").rename(own / "lock")
            yield own
        finally:
            file.close()


def _remove_orphans() -> None:
    """Remove folders of this user's processes that were killed."""
    parent = Path(tempfile.gettempdir()).resolve()
    for own in parent.glob(f"{OWN}*"):
        with contextlib.suppress(OSError), (own / "lock").open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.getuid():
                continue  # whoever made it may have written anything there
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            work = Path((own / "work").read_text()) if (own / "work").exists() else own
            if work.parent == parent and work.name.startswith((PREFIX, OWN)):
                shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(own, ignore_errors=True)
