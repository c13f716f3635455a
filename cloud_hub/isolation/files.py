"""Files that a process needs, and how it reaches them as another user. Pure but for ``stat``."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

SYSTEM: Final = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
    "/sys/devices", "/sys/fs/cgroup", "/sys/kernel/mm",
    *(
        f"/etc/{name}"
        for name in (
            "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "timezone",
            "passwd", "group", "nsswitch.conf", "hosts", "host.conf", "resolv.conf", "gai.conf",
            "services", "protocols", "ssl/certs", "ssl/openssl.cnf", "pki/tls/certs",
            "ca-certificates", "mime.types", "os-release", "fonts",
        )
    ),
)  # fmt: skip
"""Readable for any program. Not ``/etc`` as a whole: it holds the machine's own secrets."""

DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
PROC: Final = ("cpuinfo", "meminfo", "stat", "filesystems", "version", "loadavg", "sys")
"""Below ``/proc``, where that shows processes of others too."""


def python_files() -> list[Path]:
    """Return the folders of this Python and of everything that it can import."""
    named = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]
    named.append(str(Path(sys.executable).parent))
    named.append(str(Path(sys.executable).resolve().parent))
    return [Path(name) for name in dict.fromkeys(named) if name and Path(name).exists()]


def without(paths: Iterable[Path], hidden: Path) -> tuple[list[Path], list[Path]]:
    """Split paths so that nothing below a folder is among them.

    Args:
        paths: files and folders to be read.
        hidden: folder that must not be.

    Returns:
        Paths to be read, with all below them; and folders whose names alone may be read, because
        ``hidden`` lies somewhere below (a rule cannot leave anything out).
    """
    hidden = hidden.resolve()
    whole: list[Path] = []
    names: list[Path] = []
    for path in paths:
        there = path.resolve()
        if there == hidden or hidden in there.parents:
            continue
        if there not in hidden.parents:
            whole.append(path)
            continue
        names.append(there)
        whole.extend(_siblings(there, hidden))
    return whole, names


def _siblings(above: Path, hidden: Path) -> Iterator[Path]:
    """Everything below ``above`` that is not on the way to ``hidden``."""
    on_the_way = {hidden, *hidden.parents}
    for path in above.iterdir():
        if path not in on_the_way:
            yield path
        elif path != hidden:
            yield from _siblings(path, hidden)


def blocked(path: Path, user: tuple[int, int]) -> Path | None:
    """Return the topmost folder above ``path`` that keeps a user from getting there, if any does.

    Args:
        path: of a file or folder.
        user: its uid and gid; it is in no other group.
    """
    for folder in reversed(path.parents):
        try:
            state = folder.stat()
        except OSError:
            return None
        if not _may_pass(state, user):
            return folder
    return None


def _may_pass(state: os.stat_result, user: tuple[int, int]) -> bool:
    if state.st_uid == user[0]:
        return bool(state.st_mode & stat.S_IXUSR)
    if state.st_gid == user[1]:
        return bool(state.st_mode & stat.S_IXGRP)
    return bool(state.st_mode & stat.S_IXOTH)
