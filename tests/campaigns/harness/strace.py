"""System calls of a running child: listed, written down with their data, or ended by SIGKILL.

``strace`` attaches to a child that waits. A kill takes place before the call does anything, so that
kills at every call and one run to the end cover every state between two calls. Calls are counted
for each thread and name, as ``strace`` does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.campaigns.harness.forked import Child, Ended
from tests.waiting import PATIENCE, wait_for

NAMES: Final = (
    "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
    "unlink", "unlinkat", "rmdir",
)  # fmt: skip
DATA: Final = (
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range",
    "truncate", "ftruncate", "fallocate",
)  # fmt: skip
SYNCS: Final = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync")
OPENS: Final = ("open", "openat", "creat")
WRITE_LIKE: Final = (*NAMES, *DATA, *SYNCS, *OPENS)

_START: Final = r"(?P<pid>\d+) +(?:(?P<at>\d+\.\d+) +)?(?P<name>\w+)"
_LINE: Final = re.compile(_START + r"\((?P<arguments>.*)\) += (?P<result>.*)")
_CUT: Final = re.compile(_START + r"\((?P<arguments>.*) <unfinished \.\.\.>$")
_REST: Final = re.compile(
    r"(?P<pid>\d+) +[\d.]* *<\.\.\. \w+ resumed>(?P<arguments>.*?)\) += (?P<result>.*)"
)
_ESCAPED: Final = re.compile(r"(?:\\x[0-9a-f]{2})+")


class TracingRefused(Exception):
    """The machine does not let processes be traced; the message says how it refused."""


@dataclass(frozen=True)
class Call:
    """One system call.

    Attributes:
        pid: thread.
        name: of the call.
        ordinal: the how-manyeth of that name in that thread, from 1.
        arguments: as ``strace -y`` writes them, paths and data unescaped to latin-1 text.
        result: as text; empty if the process was killed first.
        at: when it began, Unix seconds.
    """

    pid: int
    name: str
    ordinal: int
    arguments: str
    result: str
    at: float = 0.0

    def touches(self, folder: Path) -> bool:
        """Return whether it would change something in ``folder``."""
        opens_only = self.name in OPENS and "O_CREAT" not in self.arguments
        return not opens_only and bytes_path(folder) in self.arguments

    def told(self, folder: Path) -> str:
        """Return the call with the paths that it names, relative to ``folder``."""
        found = re.findall(re.escape(bytes_path(folder)) + r'([^>",]*)', self.arguments)
        return f"{self.name} {' '.join(name.lstrip('/') or '.' for name in dict.fromkeys(found))}"


def bytes_path(path: Path) -> str:
    """Return a path as it stands in the arguments of a call."""
    return str(path).encode().decode("latin-1")


def missing() -> str | None:
    """Return what is missing to trace here, as a sentence."""
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    # Attached, as all are here: some machines let a process be traced from its start only.
    with tempfile.TemporaryDirectory() as folder:
        try:
            list_calls(Child(lambda: None), Path(folder) / "log")
        except TracingRefused as refusal:
            return str(refusal)
    return None


def list_calls(child: Child, log: Path) -> tuple[Ended, list[Call]]:
    """Run a child to its end; return how it ended and its write-like calls."""
    return _traced(child, log, ["-s", "4096", "-e", _expression(WRITE_LIKE)])


def record(child: Child, log: Path) -> tuple[Ended, list[Call]]:
    """Run a child to its end; return all that it did to files, with the data."""
    more = ("close", "lseek", "dup", "dup2", "dup3", "fcntl", "mmap")
    return _traced(child, log, ["-s", str(1 << 26), "-e", _expression((*WRITE_LIKE, *more))])


def kill_at(child: Child, name: str, ordinal: int, log: Path) -> tuple[Ended, Call | None]:
    """Kill a child as it enters a call; return how it ended and the call that did not happen."""
    inject = f"inject={name}:signal=SIGKILL:when={ordinal}"
    ended, calls = _traced(child, log, ["-s", "4096", "-e", _expression([name]), "-e", inject])
    return ended, calls[-1] if calls and ended.killed else None


def _expression(names: Sequence[str]) -> str:
    return f"trace={','.join('?' + name for name in names)}"  # ?: not every machine has each


def _traced(child: Child, log: Path, options: list[str]) -> tuple[Ended, list[Call]]:
    command = ["strace", "-f", "-ttt", "-y", "-xx", "-p", str(child.pid), "-o", str(log), *options]
    said = log.with_suffix(".said")  # a file: a pipe that nobody reads fills up, one day
    with said.open("w") as file:
        tracer = subprocess.Popen(command, stderr=file)
    try:
        over = lambda: tracer.poll() is not None  # noqa: E731
        wait_for(lambda: "attached" in said.read_text() or over(), "strace", every=0.005)
        if "attached" not in said.read_text():
            child.kill()
            raise TracingRefused(f"strace may not trace here: {said.read_text().strip()}")
        ended = child.go().wait()
        tracer.wait(PATIENCE)
    finally:
        tracer.kill()
        tracer.wait(PATIENCE)
    return ended, list(read_log(log.read_text()))


def read_log(text: str) -> Iterator[Call]:
    """Parse what ``strace -f -ttt -y -xx`` wrote, in the order in which calls began."""
    seen: Counter[tuple[int, str]] = Counter()
    begun: dict[int, int] = {}
    calls: list[Call] = []
    for line in text.splitlines():
        if (rest := _REST.match(line)) is not None:
            place = begun.pop(int(rest["pid"]), None)
            if place is not None:
                old = calls[place]
                whole = old.arguments + _plain(rest["arguments"])
                calls[place] = replace(old, arguments=whole, result=_plain(rest["result"]))
            continue
        found = _LINE.match(line) or _CUT.match(line)
        if found is None:
            continue
        pid, name = int(found["pid"]), found["name"]
        seen[pid, name] += 1
        if found.re is _CUT:
            begun[pid] = len(calls)
        result = _plain(found.groupdict().get("result") or "")
        at = float(found["at"] or 0)
        calls.append(Call(pid, name, seen[pid, name], _plain(found["arguments"]), result, at))
    yield from calls


def _plain(text: str) -> str:
    """Undo ``-xx``."""
    return _ESCAPED.sub(lambda m: bytes.fromhex(m[0].replace("\\x", "")).decode("latin-1"), text)
