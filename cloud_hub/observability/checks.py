"""What a hub is checked for, and what to do about each. The judging functions are pure.

``fail``: requests, or the background work, do not get what they need: ``/readyz`` answers 503.
``warn``: all works, and somebody has to do something before long.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from cloud_hub.database.lease import is_skewed
from cloud_hub.registry.keys.status import warning
from cloud_hub.settings import AlarmSettings

if TYPE_CHECKING:
    from cloud_hub.registry.keys.status import KeyStatus

State = Literal["ok", "warn", "fail"]

FULL_BYTES: Final = 256 << 20
FULL_SHARE: Final = 0.01
"""Of the disk: what is free below the smaller of the two is full. SQLite needs room to commit."""

LOW_BYTES: Final = 5 << 30
"""With so much room nothing is low, however large the disk is."""

MOST_CLOCK_OFF: Final = 60.0
"""Seconds against the database's clock with which a worker is to serve nobody: credentials that it
gives would be of the future, or of the past, to the others."""

CROWDED_SHARE: Final = 0.8
"""Of the handles of a process: from here on somebody should know."""

STALLED_SECONDS: Final = 900.0
"""A part of the loop may take minutes, such as a run's gate; half a day is what renewal has."""


@dataclass(frozen=True)
class HealthCheck:
    """One check.

    Attributes:
        name: of what is checked.
        state: of it.
        says: how it is, a sentence.
        todo: what to do where it is not ``ok``.
    """

    name: str
    state: State
    says: str
    todo: str = ""


def disk_room(folder: Path) -> tuple[float, float]:
    """Return the bytes that are free on the disk of a folder for this user, and its size."""
    usage = shutil.disk_usage(folder)
    return float(usage.free), float(usage.total)


def judge_disk(
    free: float, size: float, low_share: float = AlarmSettings().disk_share
) -> HealthCheck:
    """Judge the room on the disk of the data.

    Args:
        free: bytes.
        size: bytes of the whole disk.
        low_share: of the disk: with less than that and :data:`LOW_BYTES` room is low.
    """
    says = f"{free / 2**30:.1f} of {size / 2**30:.1f} GiB are free"
    todo = "make room, or move the data; policies' retention says how long reports are kept"
    if free < min(FULL_BYTES, FULL_SHARE * size):
        return HealthCheck("disk", "fail", says, todo)
    if free < min(LOW_BYTES, low_share * size):
        return HealthCheck("disk", "warn", says, todo)
    return HealthCheck("disk", "ok", says)


def judge_handles(open_: int, most: int) -> HealthCheck:
    """Judge how many files and connections a process has open.

    Args:
        open_: of them.
        most: that the system lets it have.
    """
    says = f"{open_:,} of {most:,} files and connections are open"
    if open_ < CROWDED_SHARE * most:
        return HealthCheck("handles", "ok", says)
    todo = "beyond that nobody gets in: more workers, a higher limit (ulimit -n), or a proxy"
    return HealthCheck("handles", "warn", says, todo)


def open_handles() -> tuple[int, int]:
    """Return the files and connections that this process has open, and how many it may have."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return len(list(Path("/dev/fd").iterdir())), most


def judge_keys(status: KeyStatus) -> HealthCheck:
    """Judge how long what the keys signed is valid."""
    due = [text for role in status.roles if (text := warning(role))]
    if not due:
        return HealthCheck("keys", "ok", "every role is valid, or is renewed by the hub")
    todo = "edge-hub keys status DATA; docs/KEYS.md"
    return HealthCheck(
        "keys", "fail" if status.summary == "expired" else "warn", "; ".join(due), todo
    )


def judge_clock(problem: str | None, off: float = 0.0) -> HealthCheck:
    """Judge the clock.

    Args:
        problem: what the guard of signatures says of it; ``None`` is nothing.
        off: seconds that it is ahead of the database's, which is the one of all workers.
    """
    if problem is not None:
        todo = "set the clock, or say that it is right: edge-hub keys confirm-clock DATA"
        return HealthCheck("clock", "fail", f"{problem}; nothing is signed", todo)
    if is_skewed(off):
        says = f"it is {off:+.0f} s off the database's; what it dates, other workers may refuse"
        state: State = "fail" if abs(off) > MOST_CLOCK_OFF else "warn"
        return HealthCheck("clock", state, says, "set it, and run NTP")
    return HealthCheck("clock", "ok", "the clock may be believed")


def judge_engine(problem: str) -> HealthCheck:
    """Judge the engine of heavy work by what it says of itself; empty is nothing."""
    if not problem:
        return HealthCheck("engine", "ok", "takes heavy work")
    todo = "start it, or serve with --engine local; what waits is done then"
    return HealthCheck("engine", "warn", problem, todo)


def judge_loop(
    seconds: float,
    *,
    leads: bool,
    since_tick: float,
    errors: Mapping[str, str],
    nobody: str | None = None,
) -> HealthCheck:
    """Judge the background work of a process.

    Args:
        seconds: from one round to the next; 0 where this process does none.
        leads: it is the one of the hub that does.
        since_tick: seconds since its last round ended.
        errors: of parts that fail, by name.
        nobody: why this process cannot tell who does it, or do it; ``None`` if all is well.
    """
    if seconds <= 0:
        return HealthCheck("loop", "ok", "off in this process, as --tick 0 says")
    if not leads and nobody:
        return HealthCheck("loop", "warn", nobody, "see that the database answers")
    if not leads:
        return HealthCheck(
            "loop", "ok", "another process of this hub runs it, or this one is about to"
        )
    if since_tick > max(STALLED_SECONDS, 10 * seconds):
        says = f"no round has ended for {since_tick:.0f} s"
        return HealthCheck(
            "loop", "fail", says, "see the log for the part that hangs; restart the hub"
        )
    if errors:
        says = "; ".join(f"{part}: {error:.300}" for part, error in sorted(errors.items()))
        return HealthCheck("loop", "warn", says, "the log has the traceback; the other parts go on")
    return HealthCheck("loop", "ok", f"runs, a round ended {since_tick:.0f} s ago")
