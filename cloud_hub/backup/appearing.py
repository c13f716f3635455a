"""Folders that appear whole or not at all, for their owner alone."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cloud_hub.errors import Conflict
from edge_sdk.system.files import fsync_directory, fsync_file


@contextlib.contextmanager
def appearing(path: Path, word: str) -> Iterator[Path]:
    """Give an empty folder beside ``path`` that takes its name if the block ends well.

    What an earlier, killed process left beside it is removed first.

    Args:
        path: of the folder; it may be there if it is empty.
        word: that the temporary name ends with.

    Raises:
        Conflict: there is something already.
    """
    check_empty(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{word}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
        sync_below(temporary)
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_directory(path.parent)


def sync_below(path: Path) -> None:
    """Wait until all files of a folder, and their names, are on the disk."""
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            fsync_file(Path(folder, name))
        fsync_directory(Path(folder))


def check_empty(path: Path) -> None:
    """Raise Conflict unless ``path`` is no folder yet, or an empty one."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Conflict(f"{path}: expected no folder, or an empty one; nothing is ever overwritten")


@contextlib.contextmanager
def room_for(place: Path) -> Iterator[None]:
    """Say in one sentence that a disk is full within the block; raises Conflict."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Conflict(
            f"{place}: the disk is full, and nothing of it was kept; make room, or name another one"
        ) from error
