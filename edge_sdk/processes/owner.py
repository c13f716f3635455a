"""Owner: serves the device that this process runs to other processes of the same user.

Invariants:

* Whoever connects could also read the state folder: the socket lies in it, or its secret does.
* A call of one process waits for no other: each connection has a thread.
* What a client sends, or leaves half sent, ends its connection at most.
* A forked child has neither the socket nor the connections.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_sdk.errors import ContractError, InputError, StateError
from edge_sdk.processes.calls import OwnerCalls
from edge_sdk.processes.frames import packed, receive, rest_of, some_of
from edge_sdk.processes.listener import connect, listen, remove_socket
from edge_sdk.processes.refusals import error_to_plain
from edge_sdk.system.logs import Log
from edge_sdk.system.operating_system import close_in_child
from edge_sdk.system.owner_file import OwnerAddress, remove_owner, write_owner

if TYPE_CHECKING:
    from edge_sdk.device import EdgeDevice

_log = Log(__name__)

CLIENTS: Final = 256
"""Connections at once; further ones are refused in words."""

FRAME_SECONDS: Final = 30.0
"""Seconds within which the next bytes of a begun message come, and an answer is taken."""

SECRET_BYTES: Final = 1 << 10
"""Longest first message on the loopback, where every user of the machine may connect."""


class Owner:
    """The socket on which one device is served, and the threads of its clients.

    Args:
        folder: state folder, whose lock this process has.
        device: that is served.

    Raises:
        OSError: there is no local socket, or the disk does not take the file that names it.
    """

    def __init__(self, folder: Path, device: EdgeDevice) -> None:
        self._folder = folder
        self._since = time.time()
        self._calls = OwnerCalls(device, self.status)
        self._clients: set[socket.socket] = set()
        self._closed = False
        self._socket, self.address = listen(folder)
        try:
            write_owner(folder, self.address)
        except BaseException:
            self._socket.close()
            raise
        threading.Thread(target=self._accept, name="edge-owner", daemon=True).start()

    def status(self) -> dict[str, Any]:
        """Return who runs the device, since when (Unix seconds), and for how many others."""
        own = self.address
        where = str(self._folder / own.unix) if own.unix is not None else f"loopback:{own.port}"
        return {
            "pid": own.pid,
            "since": round(self._since, 3),
            "listens": where,
            "clients": len(self._clients),
        }

    def close(self) -> None:
        """Serve nobody any more; a call that is under way is not answered."""
        if self._closed:  # the names in the folder may be those of the next owner
            return
        self._closed = True
        remove_owner(self._folder)
        # accept() does not end when another thread closes its socket: it is woken first.
        with contextlib.suppress(OSError):
            connect(self._folder, self.address, 1.0).close()
        self._socket.close()
        if self.address.unix is not None:
            remove_socket(self._folder)
        for connection in list(self._clients):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._closed:
                    return
                time.sleep(0.1)  # out of handles, for now
                continue
            if self._closed:
                connection.close()
                return
            close_in_child(connection)
            connection.settimeout(FRAME_SECONDS)
            if len(self._clients) >= CLIENTS:
                full = f"{CLIENTS} connections to this device are open: close some of them"
                self._refuse(connection, full)
                continue
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        name = "edge-attached"
        self._clients.add(connection)
        try:
            threading.Thread(target=self._serve, args=(connection,), name=name, daemon=True).start()
        except RuntimeError:  # the system has no more threads
            self._clients.discard(connection)
            self._refuse(connection, "this process may have no more threads: ask again later")

    def _refuse(self, connection: socket.socket, reason: str) -> None:
        error = StateError(reason)
        with connection, contextlib.suppress(OSError, EOFError):
            connection.settimeout(0.1)
            connection.sendall(packed({"error": error_to_plain(error)}))
            connection.shutdown(socket.SHUT_WR)
            some_of(connection)  # what is unread when it is closed takes the answer with it

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(EOFError, OSError):
                if self.address.secret:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if not _knows(self.address, connection):
                        return
                while not self._closed:
                    self._answer(connection)
        finally:
            self._clients.discard(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            begun = some_of(connection)
        except TimeoutError:
            return  # it has nothing to ask, and may stay
        try:
            message = rest_of(connection, begun)
        except ContractError as error:
            connection.sendall(packed({"error": error_to_plain(error)}))
            raise EOFError from error  # where its next message begins nobody knows
        answer = self._calls.answer(message)
        try:
            frame = packed(answer)
        except InputError as error:
            frame = packed({"error": error_to_plain(error)})
        connection.sendall(frame)


def _knows(address: OwnerAddress, connection: socket.socket) -> bool:
    """Return whether the first message has the secret."""
    try:
        message = receive(connection, SECRET_BYTES)
    except ContractError:
        return False
    said = message.get("secret") if isinstance(message, dict) else None
    known = isinstance(said, str) and hmac.compare_digest(said.encode(), address.secret.encode())
    if known:
        connection.sendall(packed({"answer": None}))
    return known


def own(folder: Path, device: EdgeDevice) -> Owner | None:
    """Serve ``device`` to others; ``None`` where that cannot be, which is logged: the device
    itself needs no socket.
    """
    try:
        return Owner(folder, device)
    except OSError as error:
        _log.warning("%s: other processes cannot attach to this device; %s", folder, error)
        return None
