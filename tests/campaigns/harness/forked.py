"""Work in a forked child that starts when told to, and that may be killed.

The parent has imported everything and opened nothing, so that a child costs no start of Python. A
child ends with its parent, or whoever reads that one's output to its end would wait for ever.
"""

from __future__ import annotations

import json
import os
import select
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cloud_hub.isolation.kernel import end_with_parent
from tests.waiting import PATIENCE

_CHUNK: Final = 1 << 16


@dataclass(frozen=True)
class Ended:
    """How a child ended: killed, or with the value that its work returned."""

    killed: bool
    value: Any = None


class ChildFailed(Exception):
    """The work raised; the message is its traceback."""


class Child:
    """A child process that waits for :meth:`go` before it does ``work``.

    Args:
        work: what it does; returns plain JSON values.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        gate, self._gate = os.pipe()
        self._answer, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            os.close(self._answer)
            _run(work, gate, answer)
        os.close(gate)
        os.close(answer)

    def go(self) -> Child:
        os.write(self._gate, b"!")
        return self

    def kill(self) -> Ended:
        """End it, however far it is."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> Ended:
        """Wait for the end.

        Raises:
            ChildFailed: the work raised, or has not ended after :data:`PATIENCE` seconds.
        """
        raw = b"".join(iter(self._read, b""))
        _, status = os.waitpid(self.pid, 0)
        os.close(self._gate)
        os.close(self._answer)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGKILL:
            return Ended(killed=True)
        if code != 0:
            raise ChildFailed(f"the child ended with {code}\n{raw.decode(errors='replace')}")
        return Ended(killed=False, value=json.loads(raw))

    def _read(self) -> bytes:
        """Return more of the answer; nothing at its end."""
        if not select.select([self._answer], [], [], PATIENCE)[0]:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise ChildFailed(f"the child has not ended after {PATIENCE:.0f} s")
        return os.read(self._answer, _CHUNK)


def memory_folder() -> str | None:
    """Return a folder in memory if there is one: a killed process loses nothing there either, and
    nobody waits for a disk.
    """
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def in_child(work: Callable[[], Any]) -> Any:
    """Do ``work`` in a child and return what it returned; raises :class:`ChildFailed`."""
    return Child(work).go().wait().value


def _run(work: Callable[[], Any], gate: int, answer: int) -> None:
    """Never returns."""
    code = 1
    end_with_parent()
    try:
        if os.read(gate, 1):
            os.write(answer, json.dumps(work()).encode())
            code = 0
    except BaseException:
        os.write(answer, traceback.format_exc().encode())
    finally:
        os._exit(code)
