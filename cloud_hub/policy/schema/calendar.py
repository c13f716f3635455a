"""The section ``calendar`` of a model's policy: days that are unlike others, and known before."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cloud_hub.calendar.occurrence import LONGEST, Occurrence, joined, made, share_of
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.names import check_name

MOST_SHARE: Final = 1 / 3
"""Share of two years that days may cover: on what is more common, nothing should be "expected"."""

MOST: Final = 100
"""Days that a calendar may have."""

DAY: Final = 86_400.0
CHECKED: Final = (
    datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).timestamp(),
    datetime.datetime(2034, 1, 1, tzinfo=datetime.UTC).timestamp(),
)
"""Ten years in which a rule has to come up; fixed, so that a policy is good or bad on any day."""


@dataclass(frozen=True)
class RareDay:
    """A day that is unlike others. It comes on ``dates``, by a ``rule`` of RFC 5545 (counted from
    ``starts``, if it counts), or as the events of an iCalendar file, all or those of one
    ``summary``; and lasts ``days`` days (events last as long as they say), which begin at midnight
    in ``time_zone`` (of the whole calendar, unless given).

    While it is open a run starts ``train_every_seconds``, at most ``runs`` a time it comes; what it
    trains may forget ``max_forgetting`` (of the gate, unless given), for it goes back by itself.

    ``file`` is for people: ``edge-hub policy`` sends the file's content as ``ics``.
    """

    name: str
    dates: tuple[str, ...] = ()
    rule: str | None = None
    starts: str | None = None
    file: str | None = None
    ics: str | None = None
    summary: str | None = None
    time_zone: str | None = None
    days: int = 1
    train_every_seconds: float | None = None
    runs: int = 24
    max_forgetting: float | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        require(
            self.file is None,
            "file: is read by edge-hub policy, which sends its content; over HTTP write it as ics",
        )
        sources = [n for n in ("dates", "rule", "ics") if getattr(self, n)]
        require(len(sources) == 1, f"expected exactly one of dates, rule, file, got {sources}")
        require(self.starts is None or self.rule is not None, "starts: is of a rule")
        require(self.summary is None or self.ics is not None, "summary: is of events in a file")
        require(1 <= self.days <= LONGEST, f"days: expected 1 to {LONGEST}")
        require(self.days == 1 or self.ics is None, "days: events last as long as they say")
        every = self.train_every_seconds
        require(every is None or every >= 60, "train_every: expected at least 60 s")
        require(self.runs >= 1, "runs: expected at least 1")
        forgets = self.max_forgetting
        require(forgets is None or 0 <= forgets <= 1, "max_forgetting: expected a share, 0 to 1")
        if self.time_zone is not None:
            _check_zone(self.time_zone)

    def occurrences(self, zone: str, since: float, until: float) -> list[Occurrence]:
        """Return when it comes, in order; raises ContractError.

        Args:
            zone: of the whole calendar.
            since: occurrences that end later, Unix seconds.
            until: occurrences that begin earlier, Unix seconds.
        """
        # dateutil and icalendar are loaded where there are days: --help needs neither.
        from cloud_hub.calendar.recurrence import date_of, first_days, zone_of

        here = zone_of(self.time_zone or zone)
        first, last = (
            datetime.datetime.fromtimestamp(at, here).date() + datetime.timedelta(days=days)
            for at, days in ((since, -LONGEST - 1), (until, 1))
        )
        if self.ics is not None:
            found = self._events(zone, last)
        else:
            begins = (
                first_days(self.rule, self.starts, first, last)
                if self.rule is not None
                else [date_of(text) for text in self.dates]
            )
            length = datetime.timedelta(days=self.days)
            midnights = [(day, day + length) for day in begins]
            found = [
                made(self.name, *(datetime.datetime(*d.timetuple()[:3], tzinfo=here) for d in pair))
                for pair in midnights
            ]
        return [each for each in joined(found) if each.end > since and each.begin < until]

    def _events(self, zone: str, last: datetime.date) -> list[Occurrence]:
        from cloud_hub.calendar.icalendar_file import occurrences_in, read_events
        from cloud_hub.calendar.recurrence import zone_of

        assert self.ics is not None
        try:
            events = read_events(self.ics, zone_of(self.time_zone or zone))
            names = sorted({event.name for event in events})
            known = self.summary is None or self.summary in names
            require(known, f"summary: no event {self.summary!r}; there are {names[:10]}")
            return list(occurrences_in(events, self.name, self.summary, last))
        except ContractError as error:
            raise ContractError(f"file: {error}") from error


@dataclass(frozen=True)
class CalendarPolicy:
    """Rare days, each with a name. ``time_zone`` is where their midnights are."""

    time_zone: str = "UTC"
    days: tuple[RareDay, ...] = ()

    def __post_init__(self) -> None:
        _check_zone(self.time_zone)
        names = [day.name for day in self.days]
        require(len(names) <= MOST, f"days: expected at most {MOST}, got {len(names)}")
        require(len(set(names)) == len(names), "days: expected different names")
        for day in self.days:
            try:
                self._check(day)
            except ContractError as error:
                raise ContractError(f"days[{day.name}]: {error}") from error

    def _check(self, day: RareDay) -> None:
        found = day.occurrences(self.time_zone, *CHECKED)
        past = day.dates or day.ics is not None  # dates that are over do no harm
        require(bool(found) or bool(past), "never comes up: no such day in ten years")
        longest = max((each.end - each.begin for each in found), default=0.0)
        # By an hour, in which clocks may be set back.
        short = longest <= LONGEST * DAY + 3_600
        joins = f"lasts {longest / DAY:.0f} days at once; expected at most {LONGEST}"
        require(short, f"{joins} (days that overlap are one)")
        share = share_of(found, *CHECKED)
        fits = share <= MOST_SHARE
        require(fits, f"is {share:.0%} of all time; a day that common needs a trigger (cron)")

    def occurrences(self, since: float, until: float) -> tuple[Occurrence, ...]:
        """Return when days come, in order of their begin.

        Args:
            since: occurrences that end later, Unix seconds.
            until: occurrences that begin earlier, Unix seconds.
        """
        if not self.days:
            return ()
        # Whole days as the key: every tick of the loop asks, and a file is read once a day.
        found = _all(self, int(since // DAY), int(until // DAY) + 1)
        return tuple(each for each in found if each.end > since and each.begin < until)

    def day(self, name: str) -> RareDay | None:
        """Return the day of a name, if there is one."""
        return next((day for day in self.days if day.name == name), None)


@lru_cache(maxsize=256)
def _all(calendar: CalendarPolicy, first: int, last: int) -> tuple[Occurrence, ...]:
    span = (first * DAY, last * DAY)
    found = [each for day in calendar.days for each in day.occurrences(calendar.time_zone, *span)]
    return tuple(sorted(found))


def _check_zone(name: str) -> None:
    from cloud_hub.calendar.recurrence import zone_of

    zone_of(name)
