"""Turns a log of system calls into operations of :mod:`tests.campaigns.harness.disk_model`.

A call that changes the folder in a way that the model does not know ends with :class:`Unmodelled`:
nothing is passed over in silence. The exceptions are two files that are written through memory,
where no call tells of it, and that nobody believes after a power cut: SQLite's ``-shm``, which its
next reader makes anew, and the mark by which a device knows what ran when its process ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.campaigns.harness.disk_model import ROOT, Names, Operation, Resize, Sync, Tree, Write
from tests.campaigns.harness.strace import Call, bytes_path

_PATH: Final = re.compile(r'(?:\w+<(?P<base>[^>]*)>, )?"(?P<name>[^"]*)"')
_MEMORY: Final = ("-shm", "/running.mark")


class Unmodelled(Exception):
    """A call of which the model does not know what becomes durable when."""


@dataclass
class _Handle:
    """An open file: descriptors that were duplicated share it."""

    number: int
    at: int = 0
    append: bool = False


class DiskLog:
    """Follows the calls of one process below one folder.

    Args:
        folder: that is followed, as it is before the first call.

    Attributes:
        start: what was in the folder.
        operations: on it, in their order.
        times: when each began, Unix seconds.
    """

    def __init__(self, folder: Path) -> None:
        self.start = Tree()
        self.operations: list[Operation] = []
        self.times: list[float] = []
        self._moment = 0.0
        self._folder = bytes_path(folder)
        self._next = ROOT + 1
        self._load(folder, ROOT)
        self._now = self.start.copy()
        self._open: dict[int, _Handle] = {}
        self._calls: dict[str, Callable[[Call], None]] = {
            **dict.fromkeys(("open", "openat", "creat"), self._opened),
            **dict.fromkeys(("write", "pwrite64"), self._written),
            **dict.fromkeys(("mkdir", "mkdirat"), self._made),
            **dict.fromkeys(("rename", "renameat", "renameat2"), self._renamed),
            **dict.fromkeys(("link", "linkat"), self._linked),
            **dict.fromkeys(("symlink", "symlinkat"), self._symlinked),
            **dict.fromkeys(("unlink", "unlinkat", "rmdir"), self._unlinked),
            **dict.fromkeys(("fsync", "fdatasync"), self._synced),
            **dict.fromkeys(("dup", "dup2", "dup3"), self._duplicated),
            "ftruncate": self._resized,
            "close": lambda call: self._close(call),
            "lseek": self._moved,
            "fcntl": self._controlled,
            "mmap": self._mapped,
        }

    def follow(self, calls: Iterable[Call]) -> DiskLog:
        """Turn calls into operations; raises :class:`Unmodelled`."""
        for call in calls:
            if call.result.startswith(("-1", "?")) or not call.result:
                continue  # it failed, or never took place
            self._moment = call.at
            if call.name in self._calls:
                self._calls[call.name](call)
            elif self._folder in call.arguments:
                raise Unmodelled(f"{call.name}({call.arguments[:200]})")
        return self

    def _load(self, path: Path, folder: int) -> None:
        for entry in sorted(path.iterdir()):
            number = self._take_number()
            self.start.folders[folder][entry.name] = number
            if entry.is_symlink():
                self.start.links[number] = str(entry.readlink())
            elif entry.is_dir():
                self.start.folders[number] = {}
                self._load(entry, number)
            else:
                self.start.files[number] = entry.read_bytes()

    def _take_number(self) -> int:
        self._next += 1
        return self._next - 1

    def _do(self, operation: Operation) -> None:
        self._now.apply(operation)
        self.operations.append(operation)
        self.times.append(self._moment)

    # --- paths

    def _places(self, call: Call) -> list[tuple[int, str] | None]:
        """Return (folder, name) of each path of a call; ``None`` for one that is elsewhere."""
        found = []
        for match in _PATH.finditer(call.arguments):
            path = match["name"]
            if not path.startswith("/") and match["base"]:
                path = f"{match['base']}/{path}"
            found.append(self._place(path))
        return found

    def _place(self, path: str) -> tuple[int, str] | None:
        if not path.startswith(self._folder + "/"):
            return None
        *above, name = path.removeprefix(self._folder + "/").encode("latin-1").decode().split("/")
        folder = ROOT
        for part in above:
            folder = self._now.folders[folder][part]
        return folder, name

    def _at(self, place: tuple[int, str]) -> int | None:
        folder, name = place
        return self._now.folders[folder].get(name)

    def _handle(self, call: Call) -> _Handle | None:
        handle = self._open.get(int(call.arguments.split("<", 1)[0]))
        if handle is None and self._folder in call.arguments.split(">", 1)[0]:
            raise Unmodelled(f"{call.name} on a file that was open before: {call.arguments[:200]}")
        return handle

    # --- calls

    def _opened(self, call: Call) -> None:
        (place,) = self._places(call)[:1]
        number = None
        if place is not None:
            number = self._at(place)
            if number is None:
                number = self._take_number()
                self._now.files[number] = b""
                self._do(Names(((*place, number),)))
            elif "O_TRUNC" in call.arguments:
                self._do(Resize(number, 0))
        elif call.arguments.split('"')[1] == self._folder:
            number = ROOT
        descriptor = int(call.result.split("<", 1)[0])
        self._open.pop(descriptor, None)
        if number is not None:
            number = self._followed(number)
            self._open[descriptor] = _Handle(number, append="O_APPEND" in call.arguments)

    def _followed(self, number: int) -> int:
        """Return the file that a symbolic link leads to, as far as links lead within a folder."""
        while number in self._now.links:
            folder = next(f for f, names in self._now.folders.items() if number in names.values())
            for part in self._now.links[number].split("/"):
                found = self._now.folders[folder][part]
                folder = found if found in self._now.folders else folder
            number = found
        return number

    def _written(self, call: Call) -> None:
        handle = self._handle(call)
        if handle is None:
            return
        _, _, rest = call.arguments.partition('>, "')
        data, _, tail = rest.rpartition('", ')
        done = int(call.result)
        if call.name == "pwrite64":
            at = int(tail.split(", ")[1])
        else:
            at = len(self._now.files[handle.number]) if handle.append else handle.at
            handle.at = at + done
        self._do(Write(handle.number, at, data.encode("latin-1")[:done]))

    def _made(self, call: Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            number = self._take_number()
            self._do(Names(((*place, number),), made=number))

    def _renamed(self, call: Call) -> None:
        old, new = self._places(call)
        if old is None and new is None:
            return
        if old is None or new is None:
            raise Unmodelled(f"a rename over the border of the folder: {call.arguments}")
        self._do(Names(((*old, None), (*new, self._at(old)))))

    def _linked(self, call: Call) -> None:
        old, new = self._places(call)
        if new is not None:
            if old is None:
                raise Unmodelled(f"a link to a file elsewhere: {call.arguments}")
            self._do(Names(((*new, self._at(old)),)))

    def _symlinked(self, call: Call) -> None:
        content = next(_PATH.finditer(call.arguments))["name"]
        place = self._places(call)[1]
        if place is not None:
            self._do(Names(((*place, self._take_number()),), link=content))

    def _unlinked(self, call: Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            self._do(Names(((*place, None),)))

    def _synced(self, call: Call) -> None:
        handle = self._handle(call)
        if handle is not None:
            self._do(Sync(handle.number))

    def _resized(self, call: Call) -> None:
        handle = self._handle(call)
        if handle is not None:
            self._do(Resize(handle.number, int(call.arguments.rpartition(", ")[2])))

    def _moved(self, call: Call) -> None:
        handle = self._handle(call)
        if handle is not None:
            handle.at = int(call.result)

    def _duplicated(self, call: Call) -> None:
        handle = self._handle(call)
        descriptor = int(call.result.split("<", 1)[0])
        self._open.pop(descriptor, None)
        if handle is not None:
            self._open[descriptor] = handle

    def _controlled(self, call: Call) -> None:
        if "F_DUPFD" in call.arguments:  # locks are no writes
            self._duplicated(call)

    def _close(self, call: Call) -> None:
        self._open.pop(int(call.arguments.split("<", 1)[0]), None)

    def _mapped(self, call: Call) -> None:
        arguments = call.arguments
        written = "MAP_SHARED" in arguments and "PROT_WRITE" in arguments
        file = arguments.split("<", 1)[-1].split(">", 1)[0]
        if written and file.startswith(self._folder) and not file.endswith(_MEMORY):
            raise Unmodelled(f"a file that is written through memory: {file}")
