"""Times of the week in which only what is critical is sent. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloud_hub.errors import Invalid

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PATTERN: Final = re.compile(
    r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class QuietWindow:
    """``begin`` to ``end``, minutes of a local day; where the end is not later, of the next day.
    ``days`` are those it begins on, Monday is 0.
    """

    days: frozenset[int]
    begin: int
    end: int

    def holds(self, local: datetime) -> bool:
        """Return whether a local moment is within it."""
        minute = local.hour * 60 + local.minute
        if self.begin < self.end:
            return local.weekday() in self.days and self.begin <= minute < self.end
        yesterday = (local - timedelta(days=1)).weekday()
        return (local.weekday() in self.days and minute >= self.begin) or (
            yesterday in self.days and minute < self.end
        )


def quiet_window(text: str) -> QuietWindow:
    """Return the window of ``22:00-06:00`` or ``Sat-Sun 00:00-24:00``; raises Invalid."""
    match = PATTERN.fullmatch(text.strip())
    expected = f"quiet: expected such as 'Mon-Fri 22:00-06:00', got {text[:60]!r}"
    if match is None:
        raise Invalid(expected)
    first, last, *times = match.groups()
    hours = [int(number) for number in times]
    begin, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    names = [name.lower() for name in (first or "mon", last or first or "sun")]
    if begin >= 1_440 or end > 1_440 or hours[1] > 59 or hours[3] > 59 or {*names} - {*DAYS}:
        raise Invalid(expected)
    start, stop = (DAYS.index(name) for name in names)
    days = frozenset((start + i) % 7 for i in range((stop - start) % 7 + 1))
    return QuietWindow(days, begin, end)


def time_zone(name: str) -> ZoneInfo:
    """Return a time zone such as ``Europe/Paris``; raises Invalid."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(f"zone: expected such as Europe/Paris, got {name[:60]!r}") from error


def is_quiet(windows: tuple[str, ...], zone: str, now: float) -> bool:
    """Return whether a moment is within one of the windows.

    Args:
        windows: as :func:`quiet_window` takes them.
        zone: whose days and hours they are.
        now: Unix seconds.
    """
    if not windows:
        return False
    local = datetime.fromtimestamp(now, time_zone(zone))
    return any(quiet_window(text).holds(local) for text in windows)
