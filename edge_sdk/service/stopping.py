"""The way a service is told to stop: SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Final

_LONG: Final = 3_600.0


class Stopped(BaseException):
    """The process was told to stop; raised in its main thread, wherever that is, as Ctrl-C is."""


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Run the block until it ends or SIGTERM comes; what the block has open is closed in peace:
    later signals are ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    told = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except Stopped:
        pass
    finally:
        # None stands for a handler that Python did not set, and cannot set again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def sleep_until_stopped() -> None:
    """Do nothing; only an exception ends it."""
    while True:
        time.sleep(_LONG)
