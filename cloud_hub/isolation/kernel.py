"""What else a process on Linux gives up: rights, other processes, the network. Thin system calls.

Python 3.11 has no ``os.unshare``; each function here is one call of libc.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Final

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = (
    0x0002_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
)  # fmt: skip

_PDEATHSIG, _CAPBSET_DROP, _SECUREBITS, _SUBREAPER, _NO_NEW_PRIVS = 1, 24, 28, 36, 38
_NOROOT_LOCKED: Final = 0b11
_CAPABILITY_VERSION: Final = 0x2008_0522
PROCESSES: Final = 4_096
"""Processes and threads of all workers of one user."""

_LAST_CAPABILITY: Final = Path("/proc/sys/kernel/cap_last_cap")


def unshare(flags: int) -> None:
    """Give the calling process namespaces of its own; raises OSError."""
    _checked(_libc().unshare(flags), "unshare")


def map_user(uid: int, gid: int) -> None:
    """In a new user namespace, let this user and group keep their numbers; raises OSError."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system; raises OSError."""
    done = _libc().mount(
        source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags),
        options.encode() or None,
    )  # fmt: skip
    _checked(done, f"mount {target}")


def raise_loopback() -> None:
    """Switch on 127.0.0.1 of a new network namespace, which reaches only itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        up_and_running = 0x1 | 0x40
        fcntl.ioctl(own, 0x8914, struct.pack("16sH14x", b"lo", up_and_running))  # SIOCSIFFLAGS


def end_with_parent() -> None:
    """Let the calling process end when its parent does; a change of user clears this."""
    if sys.platform == "linux":
        _libc().prctl(_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of what the children of this process leave behind."""
    _libc().prctl(_SUBREAPER, 1)


def drop_rights() -> None:
    """Give up every capability, and every way to get one back. Nothing raises: what is checked is
    what is left, see the launcher.
    """
    libc = _libc()
    try:
        last = int(_LAST_CAPABILITY.read_text())
    except (OSError, ValueError):
        last = 63
    libc.prctl(_SECUREBITS, _NOROOT_LOCKED)  # or the user 0 would regain them at exec
    for capability in range(last + 1):
        libc.prctl(_CAPBSET_DROP, capability)
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    libc.capset(header, struct.pack("6I", *[0] * 6))


def capabilities() -> int:
    """Return the capabilities that are in force, as a bit set."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def no_new_privileges() -> None:
    """Let no program that is executed from now on gain rights (set-user-ID); raises OSError."""
    _checked(_libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def limit(file_bytes: int) -> None:
    """Limit the size of each file, and write no core dump: it would hold the memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def limit_processes() -> None:
    """Limit the processes and threads of the user that this process is about to become."""
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def volunteer_for_oom_kill() -> None:
    """Let the kernel end this process and its children before the hub, without memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def reads_memory_of(process: int) -> bool:
    """Tell whether the calling process may read the memory of another one."""
    buffer = ctypes.create_string_buffer(8)
    own = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    other = (ctypes.c_void_p * 2)(0, 8)
    done = _libc().process_vm_readv(process, own, 1, other, 1, 0)
    # Address 0 is in nobody's memory: EFAULT comes only after the permission was given.
    return done >= 0 or ctypes.get_errno() == 14


def _checked(done: int, what: str) -> None:
    if done != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
