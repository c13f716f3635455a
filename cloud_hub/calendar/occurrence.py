"""Occurrences of rare days on the time line. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Span = tuple[float, float]
"""First moment, and the moment after the last, in Unix seconds."""

LONGEST: Final = 31
"""Days that an occurrence may last: what is longer is no rare day."""


@dataclass(frozen=True, order=True)
class Occurrence:
    """One time at which a day comes: ``begin <= t < end``, Unix seconds. ``date`` is that of its
    begin in its own time zone, ISO 8601.
    """

    begin: float
    end: float
    day: str
    date: str

    def __contains__(self, at: float) -> bool:
        return self.begin <= at < self.end

    @property
    def title(self) -> str:
        """The day with its date, for people."""
        return f"{self.day} of {self.date}"


def made(day: str, begin: datetime.datetime, end: datetime.datetime) -> Occurrence:
    """Return the occurrence of a day between two moments that have a time zone."""
    return Occurrence(begin.timestamp(), end.timestamp(), day, begin.date().isoformat())


def joined(occurrences: Iterable[Occurrence]) -> list[Occurrence]:
    """Sort the occurrences of one day, and join those that overlap: a day is never open twice."""
    result: list[Occurrence] = []
    for each in sorted(set(occurrences)):
        last = result[-1] if result else None
        if last is not None and each.begin < last.end:
            end = max(last.end, each.end)
            result[-1] = Occurrence(last.begin, end, last.day, last.date)
        else:
            result.append(each)
    return result


def open_at(occurrences: Iterable[Occurrence], at: float) -> Occurrence | None:
    """Return the occurrence that is open at a moment (Unix seconds), the one that began last."""
    return max((each for each in occurrences if at in each), default=None)


def last_before(occurrences: Iterable[Occurrence], now: Occurrence) -> Occurrence | None:
    """Return the occurrence of the same day that ended last before this one began."""
    earlier = (each for each in occurrences if each.day == now.day and each.end <= now.begin)
    return max(earlier, default=None)


def spans(occurrences: Iterable[Occurrence]) -> list[Span]:
    """Return when any day is open, in order, without overlaps."""
    result: list[Span] = []
    for each in sorted(occurrences):
        if result and each.begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], each.end))
        else:
            result.append((each.begin, each.end))
    assert all(a[1] < b[0] for a, b in pairwise(result))
    return result


def share_of(occurrences: Sequence[Occurrence], since: float, until: float) -> float:
    """Return the share of the time between two moments (Unix seconds) in which a day is open."""
    inside = (min(end, until) - max(begin, since) for begin, end in spans(occurrences))
    return sum(max(0.0, seconds) for seconds in inside) / (until - since)
