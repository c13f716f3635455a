"""Rules of RFC 5545 that repeat a day (``FREQ=YEARLY;BYMONTH=11;…``), and dates. Pure."""

from __future__ import annotations

import datetime
import itertools
import re
import warnings
import zoneinfo
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from edge_sdk.contract.errors import ContractError

FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
"""How often a rule may repeat: what comes several times a day is no day."""

DAY_PARTS: Final = ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYEASTER")
"""Parts of a rule that say which day by themselves; without one it is that of ``starts``."""

DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NUMBER: Final = re.compile(r"[1-9][0-9]{0,3}")

YEARS: Final = (1970, 2099)
"""Years in which days may be."""

LEAP_YEAR: Final = 366

BROKEN: Final = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)
"""What dateutil raises for a rule that it cannot read."""


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """Return a time zone of the IANA database; raises ContractError."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ContractError(
            f"time_zone: expected a name such as Europe/Berlin, got {name[:60]!r}"
        ) from error


def date_of(text: str) -> datetime.date:
    """Return a date written as ``2026-11-27``; raises ContractError."""
    try:
        if not DATE.fullmatch(text):  # fromisoformat also takes 20261127 and 2026-W48-5
            raise ValueError(text)
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ContractError(f"expected a date such as 2026-11-27, got {text[:40]!r}") from error
    check_year(day)
    return day


def check_year(day: datetime.date) -> None:
    """Raise ContractError for a day so far away that it must be a mistake."""
    if not YEARS[0] <= day.year <= YEARS[1]:
        got = day.isoformat()[:10]
        raise ContractError(f"expected a day from {YEARS[0]} to {YEARS[1]}, got {got}")


def parts_of(rule: str) -> dict[str, str]:
    """Return the parts of a rule by name; raises ContractError for one that cannot be a day's."""
    parts: dict[str, str] = {}
    for part in rule.removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value or name in parts:
            raise ContractError(
                f"expected a rule such as FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24, got {rule[:80]!r}"
            )
        parts[name] = value
    if parts.get("FREQ") not in FREQUENCIES:
        raise ContractError(f"FREQ: expected one of {[*FREQUENCIES]}, got {parts.get('FREQ')!r}")
    timed = [name for name in ("BYHOUR", "BYMINUTE", "BYSECOND") if name in parts]
    if timed:
        raise ContractError(f"{timed[0]}: expected whole days, without a time of day")
    for name in ("INTERVAL", "COUNT"):
        if not NUMBER.fullmatch(parts.get(name, "1")):
            raise ContractError(f"{name}: expected 1 to 9999, got {parts[name][:40]!r}")
    return parts


def repeats(
    parts: dict[str, str], start: datetime.datetime, until: datetime.datetime
) -> list[datetime.datetime]:
    """Return when a rule repeats, in order, in the local time of ``start`` (both without a zone).

    Args:
        parts: of the rule; ``UNTIL`` in local time, without a zone.
        start: first moment that may be one.
        until: last moment that may be one.

    Raises:
        ContractError: no rule.
    """
    # To the end of the year: each day asks for one more, and is answered by what is known.
    found = _repeats(tuple(parts.items()), start, datetime.datetime(until.year + 1, 1, 1))
    return [at for at in found if at <= until]


@lru_cache(maxsize=4_096)
def _repeats(
    parts: tuple[tuple[str, str], ...], start: datetime.datetime, until: datetime.datetime
) -> tuple[datetime.datetime, ...]:
    from dateutil.rrule import rrulestr

    # COUNT is counted here: dateutil takes it or an end, not both.
    count = dict(parts).get("COUNT")
    text = ";".join(f"{name}={value}" for name, value in parts if name != "COUNT")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rule: Any = rrulestr(text, dtstart=start, ignoretz=True)
            declared = rule._until
            rule = rule.replace(until=until if declared is None else min(until, declared))
            # It looks at whole years, and asks once more in each for the n-th weekdays of it.
            days = max(0, (until - start).days) + 3 * LEAP_YEAR
            rule._bymonth = _Months(rule._bymonth or (), days)
            return tuple(_until_the_end(rule, int(count) if count is not None else None))
    except (*BROKEN, Warning) as error:
        raise ContractError(f"expected a rule of RFC 5545, got {text[:80]!r}; {error}") from error


def _until_the_end(
    rule: Iterable[datetime.datetime], count: int | None
) -> Iterator[datetime.datetime]:
    try:
        yield from itertools.islice(rule, count)
    except _AllSeenError:
        return


class _AllSeenError(Exception):
    """All days were looked at."""


class _Months(frozenset[int]):
    """Months in which a rule may come up; none if it names none. Of each day that it looks at,
    dateutil asks first whether there are any.

    It looks at the end only when the rule comes up: one that never does, such as 30 February each
    day, would be looked for until the year 9999, for seconds.
    """

    left: int

    def __new__(cls, months: Iterable[int], days: int) -> _Months:
        self = super().__new__(cls, months)
        self.left = days
        return self

    def __bool__(self) -> bool:
        self.left -= 1
        if self.left < 0:
            raise _AllSeenError
        return len(self) > 0


def first_days(
    rule: str, starts: str | None, since: datetime.date, until: datetime.date
) -> list[datetime.date]:
    """Return the days on which a rule begins an occurrence, in order.

    Args:
        rule: of RFC 5545, without times of day.
        starts: day that the rule counts from, ISO 8601; ``None`` if it needs none.
        since: first day that may be one.
        until: last day that may be one.

    Raises:
        ContractError: no rule, or one that needs ``starts``.
    """
    parts = parts_of(rule)
    counts = "COUNT" in parts or parts.get("INTERVAL", "1") != "1"
    if starts is None and (counts or not any(name in parts for name in DAY_PARTS)):
        raise ContractError(
            "starts: expected the first day, for the rule counts from it (it has COUNT or "
            f"INTERVAL, or none of {[*DAY_PARTS]})"
        )
    # Where nothing is counted, a rule may begin anywhere: near is quick.
    first = date_of(starts) if starts is not None else since.replace(month=1, day=1)
    midnight = datetime.time()
    begin, end = (datetime.datetime.combine(day, midnight) for day in (first, until))
    return [at.date() for at in repeats(parts, begin, end) if at.date() >= since]
