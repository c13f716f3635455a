"""Marker of the candidate that ran when the process ended without a word, as by a native fault.

A few bytes of a mapped file say so. They outlive the process and cost nothing, for nothing is
synced; whether they outlive the machine is chance, so the machine's boot stands beside them, and a
power cut blames nobody. Nor does a process that ends on purpose (:meth:`CrashMarker.close`). One
that is killed from outside just then does, which is why a candidate that has answered before is
only given up when :data:`ENDS` processes in a row ended so.
"""

from __future__ import annotations

import contextlib
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
    """The candidate that ran when the last process ended.

    Attributes:
        manifest: its SHA-256.
        first: it had not answered before.
        times: processes in a row that ended so.
    """

    manifest: str
    first: bool
    times: int

    @property
    def guilty(self) -> bool:
        """Return whether it is to be given up."""
        return self.first or self.times >= ENDS


class CrashMarker:
    """The file ``path`` of one device.

    Attributes:
        crashed: record of the process before this one; ``None`` if it ended on purpose, or with
            the machine.
    """

    def __init__(self, path: Path) -> None:
        self._boot = _boot()
        before = _read(path)
        self._map = _mapped(path)
        self.crashed = _parse(before, self._boot)
        self._closed = False
        self._write(self.crashed)

    def _write(self, record: CrashRecord | None) -> None:
        manifest, times = (record.manifest, record.times) if record is not None else ("-", 0)
        line = f" {self._boot} {manifest} {times}\n".encode()
        self._map[: 1 + len(line)] = IDLE + line

    @contextmanager
    def running(self, manifest: str, *, first: bool) -> Iterator[None]:
        """Mark that ``manifest`` runs within the block; only one at a time."""
        if self._closed:
            yield
            return
        if self.crashed is None or self.crashed.manifest != manifest:
            self.crashed = CrashRecord(manifest, first, 0)
            self._write(self.crashed)
        # One byte: it is written whole or not at all, and the kernel keeps it if we are killed.
        self._map[:1] = FIRST if first else LATER
        try:
            yield
        finally:
            self._map[:1] = IDLE

    def close(self) -> None:
        """Note that this process ends on purpose, whatever runs."""
        self._closed = True
        self._map[:1] = IDLE


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _mapped(path: Path) -> mmap.mmap:
    """Map the file; where the disk takes none, memory, which a crash takes along."""
    try:
        with contextlib.suppress(IsADirectoryError):
            path.unlink(missing_ok=True)  # another one's, unreadable, or torn
        with path.open("xb") as file:
            # Written, not truncated to: a page of a hole needs room when it is touched, and where
            # there is none the kernel ends the process.
            file.write(bytes(SIZE))
        with path.open("r+b") as file:
            return mmap.mmap(file.fileno(), SIZE)
    except OSError:
        return mmap.mmap(-1, SIZE)


def _parse(raw: bytes, boot: str) -> CrashRecord | None:
    """The record in a file; ``None`` if nothing ran, it was another boot, or it is torn."""
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
