"""Landlock: Linux's file rules that a process lays on itself and all that it starts, for good.

Called directly: three system calls whose numbers and structures are the same on every architecture
and frozen by the kernel. (``landlock`` on PyPI is a development release, and knows no network.)
Needs no rights, so it works in containers and for any user; Linux 5.13 or newer.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH: Final = 1
_VERSION: Final = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE: Final = 1 << 14
RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights over files by the first version of the interface (ABI) that knows them."""

_OF_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
TCP: Final = 0b11
"""Bind and connect; known from version 4 on."""

SIGNALS_AND_SOCKETS: Final = 0b11
"""Abstract Unix sockets, and signals to others; known from version 6 on."""


def version() -> int:
    """Return the version of the kernel's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    found = int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION)))
    return max(0, found)


def restrict(
    reads: Iterable[Path], lists: Iterable[Path], writes: Iterable[Path], *, network: bool
) -> None:
    """Allow the calling process these files only; needs ``no_new_privs`` before.

    Args:
        reads: files and folders, with all below them, to be read and executed.
        lists: folders whose names, at any depth, may be read, but no contents.
        writes: files and folders, with all below them, for everything else too.
        network: allow TCP; without it the kernel refuses it from version 4 on.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    abi = version()
    rights = next((RIGHTS[known] for known in sorted(RIGHTS, reverse=True) if abi >= known), 0)
    tcp = TCP if abi >= 4 and not network else 0
    scoped = SIGNALS_AND_SOCKETS if abi >= 6 else 0
    rules = struct.pack("QQQ", rights, tcp, scoped)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    handle = _call(_CREATE, rules, ctypes.c_size_t(len(rules)), ctypes.c_uint(0))
    try:
        _allow(handle, reads, EXECUTE | READ_FILE | READ_DIR)
        _allow(handle, lists, READ_DIR)
        _allow(handle, writes, rights)
        _call(_RESTRICT, ctypes.c_int(handle), ctypes.c_uint(0))
    finally:
        os.close(handle)


def _allow(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what is not there, or not for this user, needs no rule
        try:
            is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
            # Packed: eight bytes of rights, four of the descriptor.
            rule = struct.pack("=Qi", rights if is_folder else rights & _OF_FILES, handle)
            _call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0))
        finally:
            os.close(handle)


def _call(number: int, *arguments: object) -> int:
    done = int(_libc().syscall(number, *arguments))
    if done < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"landlock: {os.strerror(error)}")
    return done


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
