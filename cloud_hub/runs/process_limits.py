"""A process with limits of time, memory and output, for it and all that it starts.

The process leads a group of its own; if it breaks a limit, the whole group is ended. Memory is what
the group holds in RAM, measured every :data:`LOOK_SECONDS`: a limit on addresses (``RLIMIT_AS``)
would count what numeric libraries reserve and never touch.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.1
"""Seconds between two measurements."""

PARENT_DIED: Final = 1
"""PR_SET_PDEATHSIG of Linux: the signal that a process gets when its parent ends."""


@dataclass(frozen=True)
class ProcessLimits:
    """Limits of a process: seconds, megabytes in RAM, bytes of output."""

    seconds: float
    memory_mb: int
    log_bytes: int = 32 << 20


class LimitedProcess:
    """A running process with ``limits``; its output goes to the end of the file ``log``.

    ``broke`` says which limit it broke, empty if none; ``peak_mb`` is the most that it held in RAM.
    """

    def __init__(
        self, command: Sequence[str], log: Path, limits: ProcessLimits, env: dict[str, str]
    ) -> None:
        self._log, self._limits = log, limits
        self._began = time.monotonic()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group of its own, to be ended as a whole
                env=env,
            )
        self.broke = ""
        self.peak_mb = 0
        self._watcher = threading.Thread(target=self._watch, name="run-watch", daemon=True)
        self._watcher.start()

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
        _kill_group(self._process.pid)
        self._process.wait()
        self._watcher.join()

    def _watch(self) -> None:
        while self._process.poll() is None:
            broken = self._broken()
            if broken:
                self.broke = broken
                break
            time.sleep(LOOK_SECONDS)
        _kill_group(self._process.pid)  # children that outlived it

    def _broken(self) -> str:
        limits = self._limits
        if time.monotonic() - self._began > limits.seconds:
            return f"took longer than the {limits.seconds:g} s that the policy allows"
        used = group_memory_mb(self._process.pid)
        self.peak_mb = max(self.peak_mb, used)
        if used > limits.memory_mb:
            return f"used {used} MB of memory, the policy allows {limits.memory_mb} MB"
        if self._log.stat().st_size > limits.log_bytes:
            return f"printed more than {limits.log_bytes >> 20} MB"
        return ""


def group_memory_mb(group: int) -> int:
    """Return the megabytes in RAM of all processes of a group; 0 where there is no ``/proc``."""
    pages = sum(_resident(pid) for pid in _members(group))
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def end_with_parent() -> None:
    """Let the calling process end when the one that started it does (Linux only)."""
    # A hub that is killed with SIGKILL cannot end its workers itself.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DIED, signal.SIGKILL)


def volunteer_for_oom_kill() -> None:
    """Let the kernel end the calling process first, not the hub, without memory (Linux only)."""
    path = Path("/proc/self/oom_score_adj")
    if path.exists():
        path.write_text("1000")


def _members(group: int) -> Iterator[int]:
    """Processes whose group is ``group``, from ``/proc/PID/stat``: pid (name) state ppid pgrp."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # From the last ")" on: the name of a program may have spaces and parentheses.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process ended meanwhile
        if int(fields[2]) == group:
            yield int(folder.name)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
