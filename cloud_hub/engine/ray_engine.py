"""A Ray cluster as an engine: each piece of work has a driver process, see ``ray_driver``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Final

from cloud_hub.engine import frames
from cloud_hub.engine.engine import SpreadTask, SpreadWork
from cloud_hub.engine.node import DriverOrder, fault_of
from cloud_hub.engine.versions import code_versions
from cloud_hub.errors import EngineUnavailable, HubFault
from edge_sdk.contract.codec import encode

PROBE_SECONDS: Final = 10.0
"""Seconds for which the answer of a probe is believed."""

CONNECT_SECONDS: Final = 1.0
STOP_SECONDS: Final = 20.0
COMMAND: Final = (sys.executable, "-P", "-m", "cloud_hub.engine.ray_driver")


class RayEngine:
    """The nodes of a Ray cluster.

    Args:
        address: see :class:`cloud_hub.settings.EngineSettings`.
        clock: monotonic, in seconds.
    """

    name, elsewhere = "ray", True

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._probed: tuple[float, str] | None = None

    def spread(self, task: SpreadTask, items: Iterable[bytes]) -> SpreadWork:
        """Compute a function over items; see :class:`Engine`."""
        return RaySpread(self._address, task, items)

    def problem(self) -> str:
        """Return why the cluster cannot be reached; empty if it can, or nobody knows."""
        now = self._clock()
        if self._probed is None or now - self._probed[0] >= PROBE_SECONDS:
            self._probed = (now, probe(self._address))
        return self._probed[1]


def probe(address: str) -> str:
    """Try whether somebody listens at a cluster's address; return the reason if nobody does."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return ""  # "auto", say: Ray itself looks for it
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        return (
            f"Ray at {address} cannot be reached: {reason}; heavy work waits. Start it with ray "
            "start --head, or name another --ray-address"
        )
    return ""


class RaySpread:
    """Items that a cluster computes; see :class:`SpreadWork`."""

    def __init__(self, address: str, task: SpreadTask, items: Iterable[bytes]) -> None:
        self._address = address
        self._task = task
        self._items = items
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = threading.Event()
        self._broken: list[BaseException] = []

    def __iter__(self) -> Iterator[bytes]:
        """Yield the result of each item; see :class:`SpreadWork`."""
        away = probe(self._address)
        if away:
            raise EngineUnavailable(away)
        with tempfile.TemporaryFile() as said:
            process = self._started(said)
            feeder = threading.Thread(target=self._feed, args=(process,), name="feed", daemon=True)
            feeder.start()
            try:
                yield from self._results(process, said)
            finally:
                self._end(process)
                feeder.join()

    def cancel(self) -> None:
        """End the driver, and with it its tasks; see :class:`SpreadWork`."""
        self._cancelled.set()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _started(self, said: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            self._process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise HubFault(f"engine: no driver process can be started; {error}") from error
        if self._cancelled.is_set():
            self._process.kill()
        return self._process

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Write the order and all items; the pipe makes it wait until there is room."""
        assert process.stdin is not None
        task = self._task
        order = DriverOrder(
            self._address, task.function, task.isolated, task.cpus, task.memory_mb, code_versions()
        )
        try:
            frames.write_frame(process.stdin, frames.ORDER, encode(order))
            frames.write_frame(process.stdin, frames.COMMON, task.common)
            for item in self._items:
                frames.write_frame(process.stdin, frames.ITEM, item)
            frames.write_frame(process.stdin, frames.END)
        except (BrokenPipeError, ValueError):
            return  # it has ended, and says why on its other pipe
        except BaseException as error:  # of the items: whoever iterates is told
            self._broken.append(error)
            process.kill()

    def _results(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> Iterator[bytes]:
        assert process.stdout is not None
        while (frame := frames.read_frame(process.stdout)) is not None:
            kind, content = frame
            if kind == frames.END:
                return
            if kind == frames.RESULT:
                yield content
                continue
            text = content.decode(errors="replace")
            if kind == frames.AWAY:
                raise EngineUnavailable(f"Ray at {self._address}: {text}")
            raise fault_of(*text.split(" ", 1))
        if self._cancelled.is_set():
            raise HubFault("engine: cancelled")
        if self._broken:
            raise self._broken[0]
        # Ray ends a process that has lost its cluster, without an exception.
        raise EngineUnavailable(f"Ray at {self._address} went away: {_last(said)}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _last(said: IO[bytes]) -> str:
    """Return the last line of what a driver said."""
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "its driver was ended"
