"""Rules of RFC 5545 that repeat a day (``FREQ=YEARLY;BYMONTH=11;…``), and dates. Pure."""

from __future__ import annotations

import datetime
import itertools
import re
import warnings
import zoneinfo
from typing import Final

from edge_sdk.contract.errors import ContractError

FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
"""How often a rule may repeat: what comes several times a day is no day."""

DAY_PARTS: Final = ("BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYEASTER")
"""Parts of a rule that say which day by themselves; without one it is that of ``starts``."""

DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

MOST: Final = 5_000
"""Repeats of one rule that are looked at."""

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
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ContractError(f"expected a date such as 2026-11-27, got {text[:40]!r}") from error


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
    from dateutil.rrule import rrulestr

    # COUNT is counted here and the end is set: a rule that never comes up would be looked for
    # until the year 9999.
    count = parts.get("COUNT")
    text = ";".join(f"{name}={value}" for name, value in parts.items() if name != "COUNT")
    try:
        most = min(MOST, int(count)) if count is not None else MOST
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rule = rrulestr(text, dtstart=start, ignoretz=True)
            declared = getattr(rule, "_until", None)
            ends = min(until, declared) if declared is not None else until
            return list(itertools.islice(rule.replace(until=ends), most))  # type: ignore[union-attr]
    except (*BROKEN, Warning) as error:
        raise ContractError(f"expected a rule of RFC 5545, got {text[:80]!r}; {error}") from error


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
