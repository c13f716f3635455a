"""Every call that not all operating systems have: locks, folders on the disk, memory, forks.

Linux, macOS and Windows differ here and nowhere else in the device package
(``tests/edge/system/test_operating_system.py`` reads the rest). Each module of the standard library
that some systems lack is imported where it is used.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import sqlite3

LOCK_FILE: Final = "lock.db"
"""File that is locked where folders cannot be."""

_STATM: Final = Path("/proc/self/statm")
_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_RESET: Final = "5"
"""Has Linux forget the most memory that a process ever held (``man 5 proc``)."""


class FolderInUse(Exception):
    """Another process, or another opening in this one, has the lock on a folder."""


class FolderLock:
    """Keeps every other process out of a folder until it is closed, or the process ends.

    A child that was forked does not have it: its handle is closed there at once, since a handle
    that two processes share would keep the folder locked after the first of them has ended.
    """

    def __init__(self, handle: int | sqlite3.Connection) -> None:
        self._handle: int | sqlite3.Connection | None = handle
        self._pid = os.getpid()
        close_in_child(self)

    def close(self) -> None:
        """Give the folder up."""
        handle, self._handle = self._handle, None
        if isinstance(handle, int):
            if os.getpid() == self._pid:
                # A child that is forked at this moment has a handle that nobody closes there.
                _unlock(handle)
            os.close(handle)
        elif handle is not None:
            handle.close()


def lock_folder(folder: Path) -> FolderLock:
    """Lock a folder that is there; nobody waits.

    The system drops the lock with the process, however that ends: there is no stale lock.

    Raises:
        FolderInUse: it is locked.
        OSError: it cannot be opened.
    """
    handle = _flocked(folder)
    return FolderLock(_locked_file(folder) if handle is None else handle)


def _flocked(folder: Path) -> int | None:
    """Lock the folder itself: no file that could be missing, damaged, or on a read-only disk.

    Returns:
        The handle; ``None`` where the system or the file system cannot do that.
    """
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise FolderInUse from None
    except OSError:  # some file systems of networks have no locks of this kind
        os.close(handle)
        return None
    return handle


def _unlock(handle: int) -> None:
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


def _locked_file(folder: Path) -> sqlite3.Connection:
    """Lock a file in the folder with SQLite, which knows how every system does that."""
    import sqlite3

    db = sqlite3.connect(
        folder / LOCK_FILE, timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        db.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        db.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise FolderInUse from None
        raise OSError(f"{LOCK_FILE} cannot be locked; {error}") from error
    return db


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Windows cannot open folders; NTFS writes renames to its journal by itself.
    """
    if hasattr(os, "O_DIRECTORY"):
        sync_path(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_path(path: Path, flags: int | None = None) -> None:
    """Wait until what is at ``path`` is on the disk; a file unless ``flags`` say otherwise."""
    # Windows syncs only what is open for writing, and reads bytes as text unless told.
    writable = os.O_RDWR | getattr(os, "O_BINARY", 0)
    default = os.O_RDONLY if hasattr(os, "O_DIRECTORY") else writable
    handle = os.open(path, default if flags is None else flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def set_mode(handle: int, path: Path, mode: int) -> None:
    """Give an open file its permissions; Windows knows only whether it may be written."""
    if hasattr(os, "fchmod"):
        os.fchmod(handle, mode)
    else:
        path.chmod(mode)


def resident_mb(path: Path = _STATM) -> float | None:
    """Return the memory that this process holds now, MiB; ``None`` where the system hides it."""
    try:
        return int(path.read_text().split()[1]) * mmap.PAGESIZE / (1 << 20)
    except (OSError, IndexError, ValueError):
        sizes = _windows_memory()
        return None if sizes is None else sizes[0]


def reset_peak_memory() -> None:
    """Begin the peak of this process's memory anew, on systems that can; elsewhere it stays that of
    its whole life.
    """
    with contextlib.suppress(OSError):
        _CLEAR.write_text(_RESET)


def peak_memory_mb() -> float | None:
    """Return the most memory that this process held, MiB; ``None`` where the system hides it."""
    try:
        match = re.search(r"^VmHWM:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        match = None
    if match is not None:  # unlike getrusage, it can begin anew
        return int(match[1]) / (1 << 10)
    try:
        import resource
    except ImportError:
        sizes = _windows_memory()
        return None if sizes is None else sizes[1]
    return maxrss_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sys.platform)


def maxrss_mb(maxrss: int, system: str) -> float:
    """Return ``ru_maxrss`` in MiB: the kernel of macOS counts bytes, the others KiB."""
    return maxrss / (1 << 20 if system == "darwin" else 1 << 10)


def _windows_memory() -> tuple[float, float] | None:
    """Return the memory held now, and the most so far, MiB; ``None`` elsewhere than on Windows."""
    if sys.platform != "win32":
        return None
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = [  # PROCESS_MEMORY_COUNTERS
            ("cb", wintypes.DWORD),
            ("page_faults", wintypes.DWORD),
            ("peak", ctypes.c_size_t),
            ("now", ctypes.c_size_t),
            ("rest", ctypes.c_size_t * 6),
        ]

    counters = Counters()
    counters.cb = ctypes.sizeof(counters)
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = [wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD]
    own = kernel.GetCurrentProcess()
    if not kernel.K32GetProcessMemoryInfo(own, ctypes.byref(counters), counters.cb):
        return None
    return counters.now / (1 << 20), counters.peak / (1 << 20)


def usable_cores() -> int:
    """Return the number of cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_null_device(handle: int) -> bool:
    """Return whether an open file is ``/dev/null`` (``NUL``): it is at its end, and always was."""
    try:
        character_device = stat.S_ISCHR(os.fstat(handle).st_mode)
    except OSError:
        return True  # a handle that is closed gives nothing either
    return character_device and not os.isatty(handle)


class _Closable(Protocol):
    def close(self) -> object: ...


_NOT_IN_CHILD: weakref.WeakSet[Any] = weakref.WeakSet()
_IN_CHILD: list[weakref.WeakMethod[Callable[[], None]]] = []


def close_in_child(handle: _Closable) -> None:
    """Close ``handle``, as long as it is there, in every child that this process forks."""
    _NOT_IN_CHILD.add(handle)
    _register()


def call_in_child(method: Callable[[], None]) -> None:
    """Call a method, as long as its object is there, in every child that this process forks, after
    the handles were closed that a child must not have.
    """
    _IN_CHILD[:] = [reference for reference in _IN_CHILD if reference() is not None]
    _IN_CHILD.append(weakref.WeakMethod(method))
    _register()


def _register(done: list[bool] = []) -> None:  # noqa: B006 - once for each process
    if not done and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
        done.append(True)


def _after_fork() -> None:
    handles, methods = list(_NOT_IN_CHILD), [reference() for reference in _IN_CHILD]
    _NOT_IN_CHILD.clear()
    _IN_CHILD.clear()  # they are about what the parent has; a child's child has nothing of it
    for handle in handles:
        handle.close()
    for method in methods:
        if method is not None:
            method()


def keep_for_ever(thing: object) -> None:
    """Never free ``thing``, not even as the process ends.

    For what a forked child inherited and must not touch: freeing a connection of SQLite or the
    threads of a runtime that only the parent has would wait for ever, or do harm to the parent.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
