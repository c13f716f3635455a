"""A hub whose clock jumped signs nothing: devices would believe the wrong time for as long.

Devices keep the newest signed time as a floor, so a minute of a clock that is a month ahead would
cost them a month of updates. What the clock says is held against what it said when the hub signed
last, and against the clock that counts since the machine started (it cannot be set). Invariants:

* While the machine runs, a difference above :data:`JUMP` in either direction stops signing until
  the clock is right again, or its owner confirms it.
* After another start of the machine nobody knows how long it was off: up to :data:`AWAY` is
  believed, for more the owner is asked once. Signing happens twice a day at least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_hub.errors import Conflict
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError
from edge_sdk.system.files import write_atomic

JUMP: Final = 86_400.0
"""Seconds by which the clock may differ from what the machine counted itself."""

AWAY: Final = 7 * 86_400.0
"""Seconds that a machine may have been off without somebody confirming its clock."""

_NOTE_BYTES: Final = 1 << 12
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ClockNote:
    """What the clocks said when the hub signed.

    Attributes:
        wall: Unix seconds.
        boot: name of the machine's start.
        elapsed: seconds since that start.
    """

    wall: float
    boot: str
    elapsed: float


def machine_clock(wall: float) -> ClockNote:
    """Return what this machine's own clock says beside ``wall``."""
    try:
        boot = BOOT_ID.read_text().strip()
    except OSError:
        boot = ""  # not on Linux: every start is another one
    # BOOTTIME goes on while the machine sleeps; MONOTONIC would take each night for a jump.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return ClockNote(wall, boot, time.clock_gettime(clock))


def jump(now: ClockNote, last: ClockNote) -> str | None:
    """Return what is wrong with the clock, ``None`` if it may be believed.

    Args:
        now: what the clocks say.
        last: what they said when the hub signed last.
    """
    if now.boot and now.boot == last.boot:
        off = now.wall - last.wall - (now.elapsed - last.elapsed)
        if abs(off) > JUMP:
            return f"it jumped {_days(off)} while this machine was running"
        return None
    gap = now.wall - last.wall
    if gap > AWAY:
        return f"the hub signed last {_days(gap)} now, and the machine started since"
    return f"it is {_days(gap)} the newest time that this hub signed" if gap < -JUMP else None


def _days(seconds: float) -> str:
    return f"{abs(seconds) / 86_400:.0f} days {'ahead of' if seconds > 0 else 'behind'}"


class ClockGuard:
    """Compares the clock with a note on disk before each signature.

    Args:
        path: file of the note.
        machine: gives what the machine's own clock says beside Unix seconds.
    """

    def __init__(self, path: Path, machine: Callable[[float], ClockNote] = machine_clock) -> None:
        self._path = path
        self.machine = machine

    def problem(self, now: float, newest: float = 0.0) -> str | None:
        """Return why nothing may be signed now, ``None`` if it may.

        Args:
            now: Unix seconds.
            newest: signed time, Unix seconds; it counts where there is no note.
        """
        last = self._last(newest)
        return jump(self.machine(now), last) if last else None

    def check(self, now: float, newest: float = 0.0) -> None:
        """Raise Conflict if nothing may be signed now; see :meth:`problem`."""
        problem = self.problem(now, newest)
        if problem:
            moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
            raise Conflict(
                f"clock: it says {moment}, but {problem}; nothing is signed until it is right, or "
                "until edge-hub keys confirm-clock says that it is; what was decided goes out then"
            )

    def note(self, now: float) -> None:
        """Remember that the clock is right, or is taken to be."""
        # Where the metadata is in a bucket, nothing else is in this folder.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, encode(self.machine(now)))

    def _last(self, newest: float) -> ClockNote | None:
        try:
            return decode(ClockNote, self._path.read_bytes(), limit=_NOTE_BYTES)
        except (OSError, ContractError):
            # Lost, damaged, or of a hub of before: the newest signature says at least so much.
            return ClockNote(newest, "", 0.0) if newest else None
