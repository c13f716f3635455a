"""Work in a forked child that starts when told to, and that may be killed.

The parent has imported everything and opened nothing, so that a child costs no start of Python.
"""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

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

    def wait(self) -> Ended:
        """Wait for the end.

        Raises:
            ChildFailed: the work raised.
        """
        raw = b"".join(iter(lambda: os.read(self._answer, _CHUNK), b""))
        _, status = os.waitpid(self.pid, 0)
        os.close(self._gate)
        os.close(self._answer)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGKILL:
            return Ended(killed=True)
        if code != 0:
            raise ChildFailed(f"the child ended with {code}\n{raw.decode(errors='replace')}")
        return Ended(killed=False, value=json.loads(raw))


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
    try:
        if os.read(gate, 1):
            os.write(answer, json.dumps(work()).encode())
            code = 0
    except BaseException:
        os.write(answer, traceback.format_exc().encode())
    finally:
        os._exit(code)
