"""System calls that a worker is refused: those that no training needs and that holes are found in.

The filter is made by libseccomp, which Debian's own package manager needs and so brings along; its
Python bindings on the index are of 2021. Where the library is missing there is no filter, and the
report says so.
"""

from __future__ import annotations

import ctypes
import errno
from typing import Final

REFUSED: Final = (
    # Other processes, and what they hold.
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd",
    # New namespaces, in which a process is root, and what root does there.
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount",
    "fspick", "move_mount", "open_tree", "mount_setattr",
    # Files by number, past the rules over their names.
    "open_by_handle_at", "name_to_handle_at",
    # Code in the kernel.
    "bpf", "perf_event_open", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    # The machine, and keys of sessions.
    "reboot", "swapon", "swapoff", "acct", "quotactl", "syslog", "settimeofday", "clock_settime",
    "adjtimex", "clock_adjtime", "sethostname", "setdomainname", "iopl", "ioperm", "fanotify_init",
    "keyctl", "add_key", "request_key",
)  # fmt: skip

_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
_MASKED_EQUAL: Final = 7
_NEW_USER: Final = 0x1000_0000


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``: an argument by its number, how and with what it is compared."""

    _fields_ = [
        ("number", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    ]


def available() -> bool:
    """Return whether libseccomp is here."""
    return _library() is not None


def refuse() -> None:
    """Refuse :data:`REFUSED` from now on; needs ``no_new_privs`` before.

    Raises:
        OSError: the library is missing, or the kernel takes no filter.
    """
    library = _library()
    if library is None:
        raise OSError(errno.ENOENT, "libseccomp is not installed")
    context = library.seccomp_init(ctypes.c_uint32(_ALLOW))
    if not context:
        raise OSError(errno.ENOMEM, "seccomp: no filter")
    try:
        for name in REFUSED:
            _add(library, context, name, errno.EPERM)
        new_user = _Comparison(0, _MASKED_EQUAL, _NEW_USER, _NEW_USER)
        _add(library, context, "clone", errno.EPERM, new_user)
        # Its flags are in memory, where no filter can look; libraries fall back on ``clone``.
        _add(library, context, "clone3", errno.ENOSYS)
        failed = library.seccomp_load(ctypes.c_void_p(context))
        if failed:
            raise OSError(-failed, "seccomp: the kernel takes no filter")
    finally:
        library.seccomp_release(ctypes.c_void_p(context))


def _add(library: ctypes.CDLL, context: int, name: str, error: int, *only: _Comparison) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    # Negative: this architecture, or this version of the library, does not know it.
    if number >= 0:
        rules = (_Comparison * len(only))(*only)
        library.seccomp_rule_add_array(
            ctypes.c_void_p(context), ctypes.c_uint32(_ERRNO | error), number, len(only), rules
        )


def _library() -> ctypes.CDLL | None:
    # By name, and not found by ctypes.util: that starts processes.
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    return library
