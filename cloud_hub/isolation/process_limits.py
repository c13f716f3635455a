"""A process with limits of time, memory and output, for it and all that it starts.

The process leads a group of its own; if it breaks a limit, it is ended with the group and with all
that descends from it. Memory is what they hold in RAM, measured every :data:`LOOK_SECONDS`: a limit
on addresses (``RLIMIT_AS``) would count what numeric libraries reserve and never touch.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cloud_hub.isolation.process_tree import family

LOOK_SECONDS: Final = 0.1
"""Seconds between two measurements of time, memory and output."""

FILES: Final = 200_000
"""Files and folders that a process may make."""

ENDLESS: Final = 1 << 62
MEASURE_SECONDS: Final = 1.0
"""Seconds between two measurements of a folder, which take longer."""


@dataclass(frozen=True)
class ProcessLimits:
    """Limits of a process: seconds, megabytes in RAM, bytes of output and in its folder."""

    seconds: float
    memory_mb: int
    log_bytes: int = 32 << 20
    folder_bytes: int = 16 << 30


class LimitedProcess:
    """A running process with ``limits``; its output goes to the end of the file ``log``.

    ``broke`` says which limit it broke, empty if none; ``peak_mb`` is the most that it held in RAM.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        limits: ProcessLimits,
        env: dict[str, str],
        *,
        keep: Sequence[int] = (),
        folder: Path | None = None,
        fed: bool = False,
    ) -> None:
        """Start it.

        Args:
            command: program and arguments.
            log: file for its output.
            limits: that it must keep to.
            env: its whole environment.
            keep: file descriptors that it inherits; it gets no other.
            folder: that it fills, to be measured every :data:`MEASURE_SECONDS`.
            fed: its standard input is a pipe, :attr:`items`; else there is nothing in it.
        """
        self._log, self._limits, self._folder = log, limits, folder
        self._measured = time.monotonic()
        self._began = time.monotonic()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group of its own, to be ended as a whole
                env=env,
                pass_fds=keep,
            )
        self.broke = ""
        self.peak_mb = 0
        self._watcher = threading.Thread(target=self._watch, name="run-watch", daemon=True)
        self._watcher.start()

    @property
    def items(self) -> IO[bytes]:
        """Its standard input, where it is fed."""
        if self._process.stdin is None:
            raise ValueError("this process was started without an input")
        return self._process.stdin

    def running(self) -> bool:
        """Return whether it has not ended yet."""
        return self._process.poll() is None or self._watcher.is_alive()

    def wait(self) -> None:
        """Wait until it has ended, or was ended for breaking a limit."""
        self._watcher.join()
        self._process.wait()

    def ended(self) -> str:
        """Describe its end for a person: the limit that it broke, or its exit status."""
        if self.broke:
            return self.broke
        status = self._process.returncode
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            hint = "; was the machine out of memory?" if -status == signal.SIGKILL else ""
            return f"its process was ended by {name}{hint}"
        return f"its process ended with status {status} and left no result"

    def kill(self) -> None:
        """End it and everything that it started, at once."""
        _kill_all(self._process.pid)
        self._process.wait()
        self._watcher.join()

    def _watch(self) -> None:
        while self._process.poll() is None:
            try:
                broken = self._broken()
            except Exception as error:  # a process that nobody watches must not go on
                broken = f"could not be watched: {error}"
            if broken:
                self.broke = broken
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_SECONDS)  # one that ends is not waited for any longer
        _kill_all(self._process.pid)  # children that outlived it

    def _broken(self) -> str:
        limits = self._limits
        if time.monotonic() - self._began > limits.seconds:
            return f"took longer than the {limits.seconds:g} s that the policy allows"
        used = memory_mb(self._process.pid)
        self.peak_mb = max(self.peak_mb, used)
        if used > limits.memory_mb:
            return f"used {used} MB of memory, the policy allows {limits.memory_mb} MB"
        if self._log.stat().st_size > limits.log_bytes:
            return f"printed more than {limits.log_bytes >> 20} MB"
        if self._folder is not None and time.monotonic() - self._measured > MEASURE_SECONDS:
            if folder_bytes(self._folder) > limits.folder_bytes:
                return f"wrote more than {limits.folder_bytes >> 20} MB"
            self._measured = time.monotonic()
        return ""


def memory_mb(process: int) -> int:
    """Return the megabytes in RAM of a process, its group and all that it started; 0 where there is
    no ``/proc``.
    """
    pages = sum(_resident(pid) for pid in family(process))
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def folder_bytes(folder: Path) -> int:
    """Return the bytes that the files below a folder take on the disk, roughly.

    A folder that is too deep to be looked into, and one of more than :data:`FILES` files, count as
    endless: it is a hostile process that makes them.
    """
    taken = found = 0
    waiting = [str(folder)]  # and no recursion: whoever fills the folder chooses the depth
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found += 1
                    taken += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return ENDLESS
            continue  # removed meanwhile
        if found > FILES:
            return ENDLESS
    return taken


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0


def _kill_all(process: int) -> None:
    # Found before anything is killed: an orphan is nobody's descendant. Those that left the group
    # are named one by one.
    others = family(process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    for pid in others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
