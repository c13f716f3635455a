"""Devices that are killed at each write of enrolment and renewal, in turn: ``FOLDER HUB TOKENS…``.

A child enrols and renews its credential twice, and sends itself SIGKILL at the n-th point: before
and after each write of the identity, before each of its requests and after each answer. Then the
same folder is opened again, enrols if it has to, and renews twice. One line a point says how the
device stood in the end; the last point is the one that no child reached.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_sdk.errors import IdentityRefused
from edge_sdk.fleet import identity
from edge_sdk.fleet.enrolment import enrol
from edge_sdk.hub.client import HubClient
from edge_sdk.state_db import StateDatabase
from tests.waiting import PATIENCE

RENEWALS = 2


class Killer:
    """Kills this process at point ``at`` of those that it passes."""

    def __init__(self, at: int) -> None:
        self._left = at

    def point(self) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.point()
            result = call(*arguments, **options)
            self.point()
            return result

        return wrapped


def live(folder: Path, hub: str, token: str, killer: Killer) -> str:
    """Enrol if need be, renew, and say how the device stands."""
    client = HubClient(hub, timeout=PATIENCE)
    identity.write_atomic = killer.around(identity.write_atomic)  # type: ignore[attr-defined]
    StateDatabase.put = killer.around(StateDatabase.put)  # type: ignore[method-assign]
    client._post = killer.around(client._post)  # type: ignore[method-assign]
    with contextlib.closing(StateDatabase(folder)) as store:
        enrol(store, client, model="killed", token=token, attributes={})
        assert client._credentials is not None
        for _ in range(RENEWALS):
            try:
                given = client._credentials.current(client._exchange)
            except IdentityRefused as refusal:
                return refusal.standing
            client._credentials.discard(given)
    return "active"


def child(work: Callable[[], str]) -> tuple[bool, str]:
    """Run ``work`` in a process of its own: whether it was killed, and what it said."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "failed"
        try:
            said = work()
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(reader) as pipe:
        return os.WIFSIGNALED(status), pipe.read()


def main() -> None:
    folder, hub, *tokens = sys.argv[1:]
    for number, token in enumerate(tokens):
        state = Path(folder) / f"device-{number}"
        killed, _ = child(lambda s=state, t=token, n=number: live(s, hub, t, Killer(n)))  # type: ignore[misc]
        _, standing = child(lambda s=state, t=token: live(s, hub, t, Killer(-1)))  # type: ignore[misc]
        if not killed:
            break
        print(f"killed at point {number}: {standing}", flush=True)


if __name__ == "__main__":
    main()
