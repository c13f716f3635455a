"""Which candidate was running when the process ended without a word, as a native fault ends it.

A few bytes of a mapped file say so. They outlive the process and cost nothing, for nothing is
synced; whether they outlive the machine is chance, so the machine's boot stands beside them, and a
power cut accuses nobody. Nor does a process that ends on purpose (:meth:`CrashMarker.close`). One
that is
killed from outside just then does, which is why a candidate that has answered before is only given
up when :data:`ENDS` processes in a row ended so.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENDS: Final = 3
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
SIZE: Final = 128
IDLE, FIRST, LATER = b".", b"1", b"+"


@dataclass(frozen=True)
class CrashRecord:
    """What ran when the last process ended: the SHA-256 of its manifest, whether that was the
    first time, and how many processes in a row ended so.
    """

    manifest: str
    first: bool
    times: int

    @property
    def guilty(self) -> bool:
        """Whether it is to be given up."""
        return self.first or self.times >= ENDS


class CrashMarker:
    """The file ``path`` of one device.

    Attributes:
        left: of the process before this one; ``None`` if it ended in peace, or with the machine.
    """

    def __init__(self, path: Path) -> None:
        self._boot = _boot()
        before = path.read_bytes() if path.exists() else b""
        with path.open("wb") as file:
            file.truncate(SIZE)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        self.left = _left(before, self._boot)
        self._closed = False
        self._write(self.left)

    def _write(self, left: CrashRecord | None) -> None:
        manifest, times = (left.manifest, left.times) if left is not None else ("-", 0)
        line = f" {self._boot} {manifest} {times}\n".encode()
        self._map[: 1 + len(line)] = IDLE + line

    @contextmanager
    def running(self, manifest: str, *, first: bool) -> Iterator[None]:
        """``manifest`` runs within it; only one at a time."""
        if self._closed:
            yield
            return
        if self.left is None or self.left.manifest != manifest:
            self.left = CrashRecord(manifest, first, 0)
            self._write(self.left)
        self._map[:1] = FIRST if first else LATER
        try:
            yield
        finally:
            self._map[:1] = IDLE

    def close(self) -> None:
        """This process ends on purpose, whatever runs."""
        self._closed = True
        self._map[:1] = IDLE


def _left(raw: bytes, boot: str) -> CrashRecord | None:
    """What a file says; ``None`` if nothing ran, it was another boot, or it is torn."""
    state, _, rest = raw.rstrip(b"\0").partition(b" ")
    words = rest.decode("ascii", "replace").split()
    if state not in (FIRST, LATER) or len(words) != 3 or words[0] != boot:
        return None
    if not words[2].isdecimal():
        return None
    return CrashRecord(words[1], state == FIRST, int(words[2]) + 1)


def _boot() -> str:
    """Names the machine's boot where there is a name; Linux has one."""
    try:
        return BOOT.read_text().strip() or "-"
    except OSError:
        return "-"
