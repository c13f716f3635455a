"""The local socket of an owner: in the state folder, or on the loopback where that cannot be."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Final

from edge_sdk.system.operating_system import close_in_child
from edge_sdk.system.owner_file import OwnerAddress

SOCKET: Final = "owner.sock"
LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 128


def listen(folder: Path) -> tuple[socket.socket, OwnerAddress]:
    """Return a listening socket and its address; the caller has the lock on ``folder``.

    A Unix socket, which the permissions of the folder protect. Where the system or the file system
    has none, or the path is too long for one, a port of the loopback with a secret.

    Raises:
        OSError: there is neither.
    """
    # By its whole path: those who attach from elsewhere have to name it within the same length.
    listening = _unix(folder.absolute() / SOCKET)
    if listening is not None:
        address = OwnerAddress(os.getpid(), unix=SOCKET)
    else:
        listening = socket.create_server((LOOPBACK, 0), backlog=_BACKLOG)
        port = listening.getsockname()[1]
        address = OwnerAddress(os.getpid(), port=port, secret=os.urandom(32).hex())
    # A child that held it open would let others connect and never answer them.
    close_in_child(listening)
    return listening, address


def _unix(path: Path) -> socket.socket | None:
    if not hasattr(socket, "AF_UNIX"):
        return None
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)  # a killed owner left it; we have the lock
        listening.bind(os.fspath(path))
        path.chmod(0o600)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        return None
    return listening


def connect(folder: Path, owner: OwnerAddress, seconds: float) -> socket.socket:
    """Return a connection to an owner.

    Raises:
        OSError: nobody listens there.
    """
    if owner.unix is None:
        connection = socket.create_connection((LOOPBACK, owner.port), seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            _connect_unix(connection, os.fspath(folder / owner.unix), seconds)
        except BaseException:
            connection.close()
            raise
    close_in_child(connection)
    return connection


def _connect_unix(connection: socket.socket, path: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            connection.connect(path)
        except BlockingIOError:  # as many wait already as may: Unix sockets do not queue here
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def remove_socket(folder: Path) -> None:
    """Take the socket's name away, where there is one."""
    with contextlib.suppress(OSError):
        (folder / SOCKET).unlink(missing_ok=True)
