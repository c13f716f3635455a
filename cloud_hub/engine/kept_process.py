"""An isolated process that computes many items of one piece of work, one after the other.

To start one, give up its rights and load the libraries of a training takes longer than many a
training. What one item may do to the next is what code of users may do to itself.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Final

from cloud_hub.engine import child
from cloud_hub.engine.engine import IsolatedLimits
from cloud_hub.engine.frames import ITEM, write_frame
from cloud_hub.engine.node import fault_of
from cloud_hub.errors import HubFault
from cloud_hub.isolation.handback import opened, printable
from cloud_hub.isolation.process_limits import ProcessLimits

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cloud_hub.isolation.workers import Workers

RESULT_BYTES: Final = 1 << 30
LOOK_SECONDS: Final = 0.02
"""Seconds between two looks for a result."""


class KeptProcess:
    """A process that waits for items.

    Args:
        place: gives its workers, its folder and its log, until it is closed.
        function: ``module:name``, of this package.
        common: what all items share.
        limits: ``seconds`` of each item, the others of the process.

    Raises:
        HubFault: nothing here isolates it.
    """

    def __init__(
        self,
        place: AbstractContextManager[tuple[Workers, Path, Path]],
        function: str,
        common: bytes,
        limits: IsolatedLimits,
    ) -> None:
        self._limits, self._number, self._late = limits, 0, False
        self._stack = contextlib.ExitStack()
        workers, self._work, log = self._stack.enter_context(place)
        try:
            (self._work / child.COMMON).write_bytes(common)
            self._process = workers.start(
                "cloud_hub.engine.child", [function], self._work, log,
                ProcessLimits(math.inf, limits.memory_mb), foreign=False, seed=limits.seed,
                fed=True,
            )  # fmt: skip
        except BaseException:
            self._stack.close()
            raise

    def running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.running()

    def compute(self, item: bytes) -> bytes:
        """Compute an item, and return what the function returned.

        Raises:
            HubFault: it failed or broke a limit. The process is of no more use.
        """
        self._number += 1
        # It also ends a process that does not read what it is sent.
        timer = threading.Timer(self._limits.seconds, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended, which is seen below
                write_frame(self._process.items, ITEM, item)
            return self._result()
        finally:
            timer.cancel()

    def close(self) -> None:
        """End it, and remove its folder."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.items.close()
        self._stack.close()

    def _end_late(self) -> None:
        self._late = True
        self._process.kill()

    def _result(self) -> bytes:
        result = fault = None
        while result is None and fault is None:
            running = self._process.running()  # before the look: what it left last is seen
            with opened(self._work) as left:
                fault = left.read(f"{child.FAULT}{self._number}", 4 * child.REASON)
                result = left.read(f"{child.RESULT}{self._number}", RESULT_BYTES)
            if not running:
                break
            if result is None and fault is None:
                time.sleep(LOOK_SECONDS)
        broke = self._process.broke or (
            f"took longer than the {self._limits.seconds:g} s that the policy allows"
            if self._late else ""
        )  # fmt: skip
        if broke:
            raise HubFault(f"a task was ended: it {broke}")
        if result is not None:
            return result
        if fault is None:
            raise HubFault(f"a task failed: {self._process.ended()}")
        raise fault_of(*printable(fault.decode(errors="replace"), child.REASON).split(" ", 1))
