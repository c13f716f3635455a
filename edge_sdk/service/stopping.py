"""The way a service is told to stop: SIGTERM, which also ends a wait that was about to begin."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import BinaryIO, Final, NoReturn

_CHUNK: Final = 1 << 16
"""Most bytes that are read at once."""

_LONG: Final = 3_600.0


class Stopped(BaseException):
    """The process was told to stop; raised in its main thread, wherever that is, as Ctrl-C is."""


class StopSignals:
    """Waits that a signal ends.

    A signal that comes just before a system call that waits does not end that call, and neither
    does one that another thread of the process takes. So these waits also watch a socket to which
    Python writes as soon as a signal has come (:func:`signal.set_wakeup_fd`).

    Args:
        woken: the end of that socket that is read; ``None`` where signals are not ours to handle.
    """

    def __init__(self, woken: socket.socket | None) -> None:
        self._woken = woken

    def sleep(self) -> NoReturn:
        """Do nothing; only an exception ends it, such as :class:`Stopped`."""
        if self._woken is None:
            while True:
                time.sleep(_LONG)
        with selectors.DefaultSelector() as ready:
            ready.register(self._woken, selectors.EVENT_READ)
            while True:
                ready.select()
                self._forget_wakeup(self._woken)

    def lines(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield the lines of a file, a pipe or a terminal of which nothing was read yet."""
        if self._woken is None or not hasattr(selectors, "PollSelector"):  # Windows: sockets only
            yield from stream
            return
        rest = b""
        with selectors.PollSelector() as ready:  # which takes files of the disk as well
            ready.register(stream.fileno(), selectors.EVENT_READ)
            ready.register(self._woken, selectors.EVENT_READ)
            while True:
                if any(key.fileobj is self._woken for key, _ in ready.select()):
                    self._forget_wakeup(self._woken)
                    continue
                read = os.read(stream.fileno(), _CHUNK)
                if not read:
                    break
                *lines, rest = (rest + read).split(b"\n")
                yield from lines
        if rest:
            yield rest

    @staticmethod
    def _forget_wakeup(woken: socket.socket) -> None:
        # The handler has run by now; the wait goes on where it was for another signal.
        with contextlib.suppress(BlockingIOError):
            woken.recv(_CHUNK)


@contextlib.contextmanager
def until_stopped() -> Iterator[StopSignals]:
    """Run the block until it ends or SIGTERM comes; what the block has open is closed in peace:
    later signals are ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopSignals(None)  # only the main thread may handle signals
        return
    told = False

    def stop(_: int, __: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise Stopped

    woken, waking = socket.socketpair()
    with woken, waking:
        woken.setblocking(False)
        waking.setblocking(False)
        before = signal.signal(signal.SIGTERM, stop)
        wakeup = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        try:
            yield StopSignals(woken)
        except Stopped:
            pass
        finally:
            signal.set_wakeup_fd(wakeup)
            # None stands for a handler that Python did not set, and cannot set again.
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
