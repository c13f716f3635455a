"""A view of the file system for one process, in a mount namespace of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cloud_hub.isolation.files import blocked
from cloud_hub.isolation.kernel import mount

_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_EMPTY: Final = _NOSUID | _NODEV
SHARED: Final = Path("/dev/shm")
SOCKETS: Final = ("/run", "/var/run")
"""Folders with sockets of services, which file rules do not cover: a daemon of containers, say."""


def make_private() -> None:
    """Keep what is mounted from now on to this namespace; raises OSError."""
    mount("none", Path("/"), "", _REC | _PRIVATE)


def own_processes() -> None:
    """Show in ``/proc`` only this process namespace; raises OSError."""
    mount("proc", Path("/proc"), "proc", _NOSUID | _NODEV | _NOEXEC)


def hide(folder: Path) -> None:
    """Lay an empty folder over ``folder``, if it is there; raises OSError."""
    if folder.is_dir():
        mount("tmpfs", folder, "tmpfs", _EMPTY, "mode=0755,size=64k")


def own_shared_memory(needed: Iterable[Path]) -> None:
    """Give shared memory that no other process sees; raises OSError.

    Args:
        needed: files and folders; those that are in shared memory stay where they are.
    """
    inside = [path for path in _topmost(needed) if SHARED in path.parents]
    _cover({SHARED: inside}, "mode=1777")


def hide_sockets(needed: Iterable[Path]) -> None:
    """Hide the sockets of services, unless something needed is below; raises OSError."""
    kept = {parent for path in needed for parent in (path, *path.parents)}
    for name in SOCKETS:
        folder = Path(name)
        if folder not in kept and not folder.is_symlink():
            hide(folder)


def open_ways(needed: Iterable[Path], user: tuple[int, int]) -> None:
    """Make files reachable for a user whom a folder above them keeps out (``/root``, say).

    The folder is laid over by an empty one, in which only the needed files appear.

    Args:
        needed: files and folders.
        user: uid and gid.

    Raises:
        OSError: the kernel refuses.
    """
    behind: dict[Path, list[Path]] = {}
    for path in _topmost(needed):
        folder = blocked(path, user)
        if folder is not None:
            behind.setdefault(folder, []).append(path)
    _cover(behind, "mode=0755,size=1m")


def _topmost(paths: Iterable[Path]) -> list[Path]:
    """Return what each path really is, without those below another."""
    real = sorted({path.resolve() for path in paths})
    return [path for path in real if not any(parent in real for parent in path.parents)]


def _cover(behind: Mapping[Path, Sequence[Path]], options: str) -> None:
    """Lay empty folders over some, in which only the given paths appear."""
    # Opened first: once the folder is covered, nobody finds them by name.
    handles = {path: os.open(path, os.O_PATH) for paths in behind.values() for path in paths}
    # Whoever starts us may keep others out of what it makes; these folders are the way in.
    mask = os.umask(0o022)
    try:
        _lay_open(behind, handles, options)
    finally:
        os.umask(mask)


def _lay_open(
    behind: Mapping[Path, Sequence[Path]], handles: Mapping[Path, int], options: str
) -> None:
    for folder, paths in behind.items():
        mount("tmpfs", folder, "tmpfs", _EMPTY, options)
        for path in paths:
            source = f"/proc/self/fd/{handles[path]}"
            if Path(source).is_dir():
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            mount(source, path, "", _BIND | _REC)
    for handle in handles.values():
        os.close(handle)
