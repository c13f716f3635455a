"""Windows of local time that come again every week. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_sdk.errors import InputError

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR: Final = 60
DAY: Final = 24 * HOUR
"""Minutes."""

WEEK: Final = 7 * DAY
_WINDOW: Final = re.compile(r"(?:([a-z,-]+) )?(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True)
class WeeklyWindow:
    """Minutes of the week, from Monday 00:00 local time, in which updates may happen."""

    start: int
    minutes: int

    def holds(self, minute: int) -> bool:
        """Return whether a minute of the week is within it."""
        return (minute - self.start) % WEEK < self.minutes


def parse_windows(texts: Sequence[str]) -> tuple[WeeklyWindow, ...]:
    """Return the windows that texts such as ``"22:00-06:00"``, ``"mon-fri 01:00-05:00"`` or
    ``"sat,sun 00:00-24:00"`` stand for. The day is the one on which the window begins.

    Raises:
        InputError: a text is none.
    """
    return tuple(window for text in texts for window in _parsed(text))


def _parsed(text: str) -> list[WeeklyWindow]:
    match = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    days = _days(match[1]) if match else []
    if match is None or not days:
        raise _refusal(text)
    first, last = (int(match[i]) * HOUR + int(match[i + 1]) for i in (2, 4))
    minutes = last - first if last > first else last - first + DAY
    if not (int(match[3]) < HOUR > int(match[5]) and first < DAY and last <= DAY):
        raise _refusal(text)
    return [WeeklyWindow(day * DAY + first, minutes) for day in days]


def _days(text: str | None) -> list[int]:
    """Return the days that ``mon-fri`` or ``sat,sun`` stand for; none if it is neither."""
    days: list[int] = []
    for part in (text or "mon-sun").split(","):
        ends = part.split("-")
        if len(ends) > 2 or not set(ends) <= set(DAYS):
            return []
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        days += [(first + i) % 7 for i in range((last - first) % 7 + 1)]
    return days


def _refusal(text: object) -> InputError:
    return InputError(
        "opening",
        f'update_windows: expected texts such as "22:00-06:00" or "mon-fri 01:00-05:00", '
        f"got {text!r:.60}",
    )
