"""The past of a window: which earlier windows tell how much windows vary by themselves. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloud_hub.statistics.detectors.dependence import WINDOWS

SHORT: Final = 2 * 3_600
"""Seconds in which no day has a rhythm: windows of the last two hours are alike."""

DAY: Final = 86_400
MOST: Final = 24
"""Windows of a past: of a day, one an hour."""

REPORTS: Final = 8_000
"""Reports that are read for the past of one window; larger fleets look at fewer windows."""

Span = tuple[int, int]


def chosen(spans: Sequence[Span], at: int, *, in_a_row: int, devices: int) -> list[Span]:
    """Return the earlier windows that a window is held against, newest first; none if too few.

    A whole day, or the last two hours. Anything between would know one side of a day only, and take
    the other for a change.

    Args:
        spans: (start, end) of earlier windows that were evaluated, newest first, Unix seconds.
        at: start of the window.
        in_a_row: windows that an alarm takes: so many before this one may be its beginning, and are
            no past.
        devices: of the fleet.
    """
    most = min(MOST, REPORTS // max(1, devices))
    before = list(spans[in_a_row:])
    if most < WINDOWS or len(before) < WINDOWS:
        return []
    # Where windows are long, as many days as they need.
    day = [span for span in before if span[0] >= min(at - DAY, before[WINDOWS - 1][0])]
    if before[-1][0] <= at - DAY:
        return _spread(day, most)
    recent = [span for span in before if span[0] >= at - SHORT]
    return recent[:most] if len(recent) >= WINDOWS else []


def _spread(spans: Sequence[Span], most: int) -> list[Span]:
    """At most so many of them, evenly over all."""
    count = min(most, len(spans))
    return [spans[i * len(spans) // count] for i in range(count)]
