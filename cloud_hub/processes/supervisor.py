"""Several processes that do the same: forked, replaced when they end, ended together.

The supervisor opens no database and starts no thread, so that what it forks begins clean, with all
modules loaded. A worker hears of its end by a pipe, and ends too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cloud_hub.errors import HubFault
from cloud_hub.processes.restarts import deaths_in_a_row, restart_delay

log = logging.getLogger(__name__)

Ready = Callable[[], None]
"""Called by a worker once it serves."""

DRAIN_SECONDS: Final = 60.0
"""Longest wait for workers to answer what they have begun; then they are killed."""

_READY: Final = b"+"
_ENDS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass
class _Place:
    """One of the workers, and those that were there before it.

    Attributes:
        pid: of the process; 0 while there is none.
        news: pipe on which it says that it serves, or why it cannot.
        ready: it serves.
        deaths: that came early, one after the other.
        since: monotonic seconds when it was started, or when it is to be.
    """

    number: int
    pid: int = 0
    news: int = -1
    ready: bool = False
    deaths: int = 0
    since: float = 0.0
    said: bytes = field(default=b"", repr=False)


class Supervisor:
    """Keeps workers running until SIGTERM or SIGINT.

    Args:
        count: of workers.
        work: runs in each, with its number, until SIGTERM; calls what it is given once it serves.
        serving: called once, when the first worker serves.
    """

    def __init__(
        self, count: int, work: Callable[[int, Ready], None], serving: Callable[[], None]
    ) -> None:
        self._places = [_Place(number) for number in range(count)]
        self._work, self._serving = work, serving
        self._alive = os.pipe()  # closed with this process, however it ends
        self._served = self._ending = False
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve until a signal ends it; then let every worker finish what it has begun.

        Raises:
            HubFault: a worker could not even begin, and none ever did.
        """
        with self._signals() as wakeup:
            try:
                while not self._ending:
                    self._start_due()
                    self._wait(wakeup)
                    self._reap()
            finally:
                self._end_all()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[int]:
        """Turn signals into bytes of a pipe, so that nothing is interrupted."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        handlers = {s: signal.signal(s, self._told) for s in (*_ENDS, signal.SIGCHLD)}
        before = signal.set_wakeup_fd(writer)
        self._selector.register(reader, selectors.EVENT_READ)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._selector.close()
            for end in (reader, writer, *self._alive):
                with contextlib.suppress(OSError):
                    os.close(end)

    def _told(self, number: int, _: object) -> None:
        self._ending = self._ending or number in _ENDS

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if not place.pid and place.since <= now:
                self._fork(place)

    def _fork(self, place: _Place) -> None:
        news, worker_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._be_worker(place.number, worker_end)
        os.close(worker_end)
        os.set_blocking(news, False)
        place.pid, place.news, place.since, place.said = pid, news, time.monotonic(), b""
        self._selector.register(news, selectors.EVENT_READ)

    def _be_worker(self, number: int, news: int) -> None:
        """Do the work of a worker in this process, which ends with it."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for each in (*_ENDS, signal.SIGCHLD):
                signal.signal(each, signal.SIG_DFL)
            self._selector.close()
            os.close(self._alive[1])
            threading.Thread(target=_end_with, args=(self._alive[0],), daemon=True).start()
            self._work(number, lambda: (os.write(news, _READY), None)[1])
            status = 0
        except HubFault as error:
            os.write(news, str(error).encode()[:4_000])
        except SystemExit as error:
            status = int(error.code or 0)
        except BaseException:
            log.critical("worker %d failed\n%s", number, traceback.format_exc())
        finally:
            os._exit(status)

    def _wait(self, wakeup: int) -> None:
        """Wait for a signal, for news of a worker, or until one is due."""
        due = [p.since - time.monotonic() for p in self._places if not p.pid]
        for key, _ in self._selector.select(max(0.0, min(due)) if due else None):
            if key.fd == wakeup:
                os.read(wakeup, 1 << 12)
        for place in self._places:
            self._read(place)

    def _read(self, place: _Place) -> None:
        if place.news < 0:
            return
        with contextlib.suppress(BlockingIOError):
            raw = os.read(place.news, 1 << 12)
            if not raw:
                self._close_news(place)
            place.said += raw
        if place.said.startswith(_READY) and not place.ready:
            place.ready = True
            log.info("worker %d serves, process %d", place.number, place.pid)
            if not self._served:
                self._served = True
                self._serving()

    def _close_news(self, place: _Place) -> None:
        self._selector.unregister(place.news)
        os.close(place.news)
        place.news = -1

    def _reap(self) -> None:
        for place in self._places:
            if not place.pid:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                self._read(place)
                self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, status: int) -> None:
        now = time.monotonic()
        place.deaths = deaths_in_a_row(place.deaths, now - place.since)
        place.pid, place.ready = 0, False
        if place.news >= 0:
            self._close_news(place)
        said = place.said.removeprefix(_READY).decode(errors="replace")
        if not self._served and not self._ending:
            # Nobody is served yet: whoever started the hub is still there to read why.
            raise HubFault(said or f"a worker ended with status {status}; see the log")
        place.since = now + (delay := restart_delay(place.deaths))
        if not self._ending:
            how = f"with signal {-status}" if status < 0 else f"with status {status}"
            log.error(
                "worker %d ended %s; another one starts in %.1f s%s",
                place.number, how, delay, f"; {said}" if said else "",
            )  # fmt: skip

    def _end_all(self) -> None:
        """Have every worker finish; kill those that do not."""
        self._ending = True
        deadline = time.monotonic() + DRAIN_SECONDS
        self._signal_all(signal.SIGTERM)
        while any(place.pid for place in self._places):
            if time.monotonic() > deadline:
                log.warning("workers did not end within %.0f s and are killed", DRAIN_SECONDS)
                self._signal_all(signal.SIGKILL)
            time.sleep(0.05)
            self._reap()

    def _signal_all(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(place.pid, number)


def _end_with(alive: int) -> None:
    """End this process as SIGTERM does, once the supervisor is gone."""
    os.read(alive, 1)
    log.warning("the supervisor is gone; this worker ends")
    os.kill(os.getpid(), signal.SIGTERM)
