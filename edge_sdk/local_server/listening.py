"""Sockets to listen on: a TCP port, or a path that only the own user may open."""

from __future__ import annotations

import contextlib
import socket
import stat
from pathlib import Path
from typing import Final

from edge_sdk.errors import StateError, reason_of

BACKLOG: Final = 128
_OWN_USER: Final = 0o600


def listen_on_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a TCP port.

    Raises:
        StateError: the address is none of this machine, or the port is in use.
    """
    if not 0 <= port < 1 << 16:
        raise StateError(f"cannot listen on port {port}: expected 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, ValueError) as error:
        raise StateError(
            f"cannot listen on {host} port {port}: {reason_of(error)}; choose another port, or 0 "
            "for one that is free"
        ) from error


def listen_on_path(path: Path) -> socket.socket:
    """Return a Unix socket that listens at ``path``; one that a dead server left there is replaced.

    Raises:
        StateError: another server listens there, something else is there, or this system has no
            Unix sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise StateError(f"{path}: this system has no Unix sockets; use HTTP")
    _remove_dead(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # Nobody can connect before listen, so nobody gets in by looser rights.
        path.chmod(_OWN_USER)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = "expected a shorter path" if "too long" in str(error) else reason_of(error)
        raise StateError(f"cannot listen at {path}: {reason}") from error
    return listener


def remove_path(path: Path) -> None:
    """Remove the Unix socket at ``path``, if it is one."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _remove_dead(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing is there, or bind says why not
    if not stat.S_ISSOCK(mode):
        raise StateError(f"cannot listen at {path}: something else than a socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            remove_path(path)
            return
        except OSError as error:
            raise StateError(f"cannot listen at {path}: {reason_of(error)}") from error
    raise StateError(f"cannot listen at {path}: another server listens there")
