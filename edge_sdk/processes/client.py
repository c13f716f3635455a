"""Calls to the process that runs a device."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge_sdk.errors import ContractError, StateError, reason_of
from edge_sdk.processes.frames import packed, receive
from edge_sdk.processes.listener import connect
from edge_sdk.processes.refusals import error_from_plain
from edge_sdk.system.operating_system import close_in_child
from edge_sdk.system.owner_file import OwnerAddress, read_owner

ANSWER_SECONDS: Final = 60.0
"""Seconds after which an owner that does not answer is given up."""

LONGER: Final = {
    "sync": 3_600.0, "join": 3_600.0,
    "explain": 600.0, "predict_batch": 600.0, "predict_ranking": 600.0,
}  # fmt: skip
"""Seconds of calls that may take longer."""

CONNECT_SECONDS: Final = 5.0
IDLE: Final = 8
"""Connections that are kept open for the next calls."""

_ONCE: Final = frozenset({"feedback", "join", "session_event", "sync"})
"""Calls that are not asked again where the owner may have done them."""


class OwnerClient:
    """Connections to the owner of a state folder; safe from any number of threads and across forks.

    Args:
        folder: state folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._idle: deque[socket.socket] = deque()
        close_in_child(self)

    def wait(self, seconds: float) -> None:
        """Wait until somebody runs the device.

        Raises:
            StateError: nobody does by then.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                self._keep(self._connected())
            except StateError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.05)
            else:
                return

    def call(self, name: str, options: Mapping[str, Any], model: str | None = None) -> Any:
        """Return the owner's answer.

        Args:
            name: of the call.
            options: its arguments.
            model: which of the device's models is called; ``None`` for the device itself.

        Raises:
            EdgeError: what the owner's call raised.
            StateError: nobody runs the device, or it did not answer.
            InputError: an argument cannot be sent.
        """
        which = {} if model is None else {"model": model}
        frame = packed({"call": name, "with": options, **which})
        seconds = LONGER.get(name, ANSWER_SECONDS)
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._ask(self._connected(), frame, seconds)
        try:
            return self._ask(connection, frame, seconds)
        except _NotAsked:
            pass
        except _Gone as error:
            if name in _ONCE:
                raise StateError(str(error)) from error
        # The owner has been started again since the last call.
        self.close()
        return self._ask(self._connected(), frame, seconds)

    def _ask(self, connection: socket.socket, frame: bytes, seconds: float) -> Any:
        try:
            connection.settimeout(seconds)
            connection.sendall(frame)
        except OSError as error:
            connection.close()
            raise _NotAsked(self._why_gone()) from error
        try:
            reply = receive(connection)
        except TimeoutError as error:
            connection.close()
            raise StateError(
                f"{self.folder}: the process that runs this device did not answer within "
                f"{seconds:.0f} s"
            ) from error
        except (OSError, EOFError) as error:
            connection.close()
            raise _Gone(self._why_gone()) from error
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        if not isinstance(reply, dict) or "answer" not in reply:
            raise _refusal(reply)
        return reply["answer"]

    def _why_gone(self) -> str:
        return f"{self.folder}: the process that ran this device ended before it answered"

    def _connected(self) -> socket.socket:
        owner = read_owner(self.folder)
        if owner is None:
            raise StateError(
                f"{self.folder}: no process runs this device, or it was opened with "
                "background=False; start one, such as: edge run STATE"
            )
        connection = None
        try:
            connection = connect(self.folder, owner, CONNECT_SECONDS)
            _tell_secret(owner, connection)
        except (OSError, EOFError, ContractError) as error:
            if connection is not None:
                connection.close()
            raise StateError(
                f"{self.folder}: process {owner.pid}, which ran this device, does not answer "
                f"({reason_of(error)}); it has ended, or belongs to another user"
            ) from error
        return connection

    def _keep(self, connection: socket.socket) -> None:
        self._idle.append(connection)
        if len(self._idle) > IDLE:
            with contextlib.suppress(IndexError):
                self._idle.popleft().close()

    def close(self) -> None:
        """Close what is open; a later call opens it again."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()


class _NotAsked(StateError):
    """The connection was closed before the message went out."""


class _Gone(StateError):
    """The connection was closed before the answer came."""


def _tell_secret(owner: OwnerAddress, connection: socket.socket) -> None:
    if owner.secret:
        connection.sendall(packed({"secret": owner.secret}))
        receive(connection)  # one message at a time: the next one waits for this answer


def _refusal(reply: Any) -> Exception:
    try:
        return error_from_plain(reply["error"])
    except (KeyError, TypeError):
        return ContractError(f"expected an answer of an owner, got {reply!r:.80}")
