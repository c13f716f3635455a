"""Events of an iCalendar file (RFC 5545): when they begin and end, repeats included. Pure.

Days without a zone are days of the policy's zone. A file that declares another one by itself
(``X-WR-TIMEZONE``) is refused, for the same date begins hours apart in the two.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from cloud_hub.calendar.occurrence import LONGEST, Occurrence, made
from cloud_hub.calendar.recurrence import check_year, parts_of, repeats
from edge_sdk.contract.errors import ContractError

CHARACTERS: Final = 100_000
"""Characters that a file may have: it travels in the policy."""

EVENTS: Final = 2_000
REPEATING: Final = 200
"""Events that may repeat: each costs up to a tenth of a second, once a year."""

NOT_READ: Final = ("EXRULE",)
"""Properties that change when an event is, and that nobody writes any more."""

DAY: Final = datetime.timedelta(days=1)


@dataclass(frozen=True)
class CalendarEvent:
    """An event, and when it repeats.

    Attributes:
        name: its ``SUMMARY``.
        uid: shared with the events that replace one of its repeats.
        start: local time, without a zone.
        zone: of ``start``.
        floating: whether that is the policy's, for the file names none.
        whole_days: whether it has dates, and no times.
        length: from begin to end, in local time.
        rule: parts of its ``RRULE``; empty if there is none.
        more: further begins, local time.
        without: begins that are left out, local time.
        replaces: the repeat of the event with the same ``uid`` that this one stands for.
    """

    name: str
    uid: str
    start: datetime.datetime
    zone: datetime.tzinfo
    floating: bool
    whole_days: bool
    length: datetime.timedelta
    rule: tuple[tuple[str, str], ...] = ()
    more: tuple[datetime.datetime, ...] = ()
    without: frozenset[datetime.datetime] = frozenset()
    replaces: datetime.datetime | None = None

    def begins(self, until: datetime.datetime) -> list[datetime.datetime]:
        """Return when it begins, up to ``until``, in local time."""
        repeated = repeats(dict(self.rule), self.start, until) if self.rule else []
        return sorted({self.start, *repeated, *self.more} - self.without)

    def occurrence(self, day: str, begin: datetime.datetime) -> Occurrence:
        """Return the occurrence of a day that begins then (local time).

        Whole days end at a midnight, on the clock of the zone: a day in which clocks change has 23
        or 25 hours. What has a time lasts as long as it lasts.
        """
        at = begin.replace(tzinfo=self.zone)
        if self.whole_days:
            return made(day, at, (begin + self.length).replace(tzinfo=self.zone))
        return made(day, at, at.astimezone(datetime.UTC) + self.length)


@lru_cache(maxsize=64)
def read_events(text: str, zone: ZoneInfo) -> tuple[CalendarEvent, ...]:
    """Return the events of a file, without those that were cancelled.

    Args:
        text: content of the file.
        zone: of days and times that name none.

    Raises:
        ContractError: no calendar, no events, too much, or a zone that is unknown or another one.
    """
    if len(text) > CHARACTERS:
        raise ContractError(f"expected at most {CHARACTERS} characters, got {len(text)}")
    calendar = _parsed(text.removeprefix("\ufeff"))  # a mark that Windows begins files with
    declared = str(calendar.get("X-WR-TIMEZONE", "") or zone.key)
    found = calendar.walk("VEVENT")
    if not 0 < len(found) <= EVENTS:
        raise ContractError(f"expected 1 to {EVENTS} events (VEVENT), got {len(found)}")
    events = tuple(_event(each, zone) for each in found if _takes_place(each))
    repeating = sum(bool(event.rule) for event in events)
    if repeating > REPEATING:
        raise ContractError(f"expected at most {REPEATING} events that repeat, got {repeating}")
    if any(event.floating for event in events) and declared != zone.key:
        raise ContractError(
            f"the calendar is in {declared} (X-WR-TIMEZONE), and its days would be taken for days "
            f"in {zone.key}; write time_zone: {declared} beside it, or give its events a zone"
        )
    return events


def occurrences_in(
    events: Sequence[CalendarEvent], day: str, summary: str | None, until: datetime.date
) -> Iterator[Occurrence]:
    """Yield the occurrences of events up to a day.

    Args:
        events: of a file.
        day: name of the rare day that they are.
        summary: only events of that name; ``None`` for all.
        until: last day on which one may begin.
    """
    end = datetime.datetime.combine(until, datetime.time.max)
    replaced = {(event.uid, event.replaces) for event in events if event.replaces is not None}
    for event in events:
        if summary is not None and event.name != summary:
            continue
        for begin in event.begins(end):
            moved = event.replaces is None and (event.uid, begin) in replaced
            if begin <= end and not moved:
                yield event.occurrence(day, begin)


def _parsed(text: str) -> Any:
    import icalendar

    try:
        calendars = icalendar.Calendar.from_ical(text, multiple=True)
    # The library raises whatever its parsers do; here every one of them means the same.
    except Exception as error:
        raise ContractError(f"expected an iCalendar file; {error!s:.200}") from error
    if len(calendars) != 1 or calendars[0].name != "VCALENDAR":
        raise ContractError("expected one iCalendar file, BEGIN:VCALENDAR to END:VCALENDAR")
    return calendars[0]


def _takes_place(event: Any) -> bool:
    return str(event.get("STATUS", "")).upper() != "CANCELLED" or "RECURRENCE-ID" in event


def _event(event: Any, zone: ZoneInfo) -> CalendarEvent:
    name = str(event.get("SUMMARY", ""))
    try:
        return _read(event, name, zone)
    except ContractError as error:
        raise ContractError(f"event {name[:60]!r}: {error}") from error
    except Exception as error:  # as above: a property that is not what it says
        raise ContractError(f"event {name[:60]!r}: cannot be read; {error!s:.200}") from error


def _read(event: Any, name: str, zone: ZoneInfo) -> CalendarEvent:
    _check(event)
    start = event["DTSTART"].dt
    named = getattr(start, "tzinfo", None)
    own = named or zone
    cancelled = str(event.get("STATUS", "")).upper() == "CANCELLED"
    replaces = event["RECURRENCE-ID"].dt if "RECURRENCE-ID" in event else None
    local = _local(start, own)
    rule = event.get("RRULE")
    return CalendarEvent(
        name=name,
        uid=str(event.get("UID", "")),
        start=local,
        zone=own,
        floating=named is None,
        whole_days=not isinstance(start, datetime.datetime),
        length=_length(event, start, own),
        rule=tuple(_rule(rule, own).items()) if rule is not None else (),
        more=tuple(_dates(event, "RDATE", own)),
        # A repeat that was called off replaces one and does not take place itself.
        without=frozenset([*_dates(event, "EXDATE", own), *([local] if cancelled else [])]),
        replaces=_local(replaces, own) if replaces is not None else None,
    )


def _check(event: Any) -> None:
    """Refuse what would be read as something else than it says."""
    if event.errors:
        what, why = event.errors[0]
        raise ContractError(f"{what}: cannot be read; {why!s:.200}")
    if "DTSTART" not in event:
        raise ContractError("DTSTART: expected one")
    for part in ("DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "RRULE"):
        if isinstance(event.get(part), list):
            raise ContractError(f"{part}: expected one at most")
    for part in NOT_READ:
        if part in event:
            raise ContractError(f"{part}: is not read; write its dates as EXDATE")
    for part in ("DTSTART", "DTEND", "RECURRENCE-ID"):
        if part in event:
            _check_zone(event[part].dt, event[part].params, part)
    if "RANGE" in getattr(event.get("RECURRENCE-ID"), "params", {}):
        raise ContractError("RECURRENCE-ID: RANGE is not read; write a series of its own")
    check_year(event["DTSTART"].dt)


def _check_zone(at: datetime.date, params: Any, part: str) -> None:
    """Refuse a zone that is not known: the library would take its times for local ones."""
    named = params.get("TZID")
    if named and isinstance(at, datetime.datetime) and at.tzinfo is None:
        raise ContractError(f"{part}: the time zone {named} is unknown, and the file defines none")


def _local(at: datetime.date, zone: datetime.tzinfo) -> datetime.datetime:
    """A date or a time as a local time of ``zone``, without it."""
    if not isinstance(at, datetime.datetime):
        return datetime.datetime.combine(at, datetime.time())
    return at.astimezone(zone).replace(tzinfo=None) if at.tzinfo is not None else at


def _length(event: Any, start: datetime.date, zone: datetime.tzinfo) -> datetime.timedelta:
    timed = isinstance(start, datetime.datetime)
    if "DURATION" in event:
        length: datetime.timedelta = event["DURATION"].dt
    elif "DTEND" in event:
        end = event["DTEND"].dt
        if isinstance(end, datetime.datetime) != timed:
            raise ContractError("DTEND: expected a date if DTSTART is one, else a time")
        aware = [_local(each, zone).replace(tzinfo=zone) for each in (start, end)]
        if timed:
            length = aware[1].astimezone(datetime.UTC) - aware[0].astimezone(datetime.UTC)
        else:
            length = end - start
    else:
        length = datetime.timedelta() if timed else DAY
    if length <= datetime.timedelta():
        raise ContractError("expected an end (DTEND or DURATION) after its begin")
    if length > LONGEST * DAY:
        raise ContractError(f"expected at most {LONGEST} days from its begin to its end")
    return length


def _rule(rule: Any, zone: datetime.tzinfo) -> dict[str, str]:
    text = rule.to_ical().decode()
    parts = parts_of(text)
    if "UNTIL" in parts:  # in UTC where times have a zone: as local time, like all of the event
        until = _local(rule["UNTIL"][0], zone)
        whole = not isinstance(rule["UNTIL"][0], datetime.datetime)
        until = datetime.datetime.combine(until, datetime.time.max) if whole else until
        parts["UNTIL"] = until.strftime("%Y%m%dT%H%M%S")
    return parts


def _dates(event: Any, part: str, zone: datetime.tzinfo) -> Iterator[datetime.datetime]:
    """Yield further begins (RDATE) or those that are left out (EXDATE), local time."""
    timed = isinstance(event["DTSTART"].dt, datetime.datetime)
    value = event.get(part)
    for each in value if isinstance(value, list) else [value] if value is not None else []:
        for date in each.dts:
            if isinstance(date.dt, tuple):
                raise ContractError(f"{part}: expected dates or times, not periods")
            if isinstance(date.dt, datetime.datetime) != timed:
                raise ContractError(f"{part}: expected a date if DTSTART is one, else a time")
            _check_zone(date.dt, each.params, part)
            check_year(date.dt)
            yield _local(date.dt, zone)
