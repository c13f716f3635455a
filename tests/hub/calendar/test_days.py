"""When rare days are: dates, rules, iCalendar files, time zones; and what is refused."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.calendar.icalendar_file import CHARACTERS, REPEATING
from cloud_hub.calendar.occurrence import Occurrence, joined, last_before, open_at, spans
from cloud_hub.cli.policy_files import MOST, with_calendars
from cloud_hub.errors import Invalid
from cloud_hub.policy.schema.calendar import CalendarPolicy, RareDay
from cloud_hub.policy.schema.parse import as_yaml, parse_policy
from edge_sdk.contract.errors import ContractError

FRIDAY = "FREQ=YEARLY;BYMONTH=11;BYDAY=FR;BYMONTHDAY=23,24,25,26,27,28,29"
EVENTS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//shop//sales//EN
BEGIN:VEVENT
UID:1
SUMMARY:Sale
DTSTART;TZID=America/New_York:20241129T090000
DTEND;TZID=America/New_York:20241129T180000
RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=FR;BYMONTHDAY=23,24,25,26,27,28,29;COUNT=3
EXDATE;TZID=America/New_York:20251128T090000
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Christmas
DTSTART;VALUE=DATE:20241224
DTEND;VALUE=DATE:20241227
RRULE:FREQ=YEARLY;UNTIL=20261224
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Christmas
RECURRENCE-ID;VALUE=DATE:20251224
DTSTART;VALUE=DATE:20251223
DTEND;VALUE=DATE:20251227
END:VEVENT
BEGIN:VEVENT
UID:3
SUMMARY:Off
STATUS:CANCELLED
DTSTART;VALUE=DATE:20250101
END:VEVENT
END:VCALENDAR
"""


def event(lines: str, *, start: str = "20261127T090000", times: int = 1) -> str:
    """A calendar of events that begin then, with further lines."""
    one = f"BEGIN:VEVENT\nUID:1\nSUMMARY:Sale\nDTSTART:{start}\n{lines}\nEND:VEVENT\n"
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{one * times}END:VCALENDAR\n"


def unix(*date: int) -> float:
    return datetime.datetime(*date, tzinfo=datetime.UTC).timestamp()  # type: ignore[arg-type, misc]


def days(zone: str = "UTC", years: tuple[int, int] = (2024, 2028), **day: Any) -> list[Occurrence]:
    calendar = CalendarPolicy(zone, (RareDay("d", **day),))
    return list(calendar.occurrences(unix(years[0], 1, 1), unix(years[1], 1, 1)))


def test_a_rule_finds_black_friday_of_every_year_at_the_midnights_of_its_zone() -> None:
    found = days("Europe/Berlin", rule=FRIDAY)
    assert [o.date for o in found] == ["2024-11-29", "2025-11-28", "2026-11-27", "2027-11-26"]
    assert found[2].begin == unix(2026, 11, 26, 23)
    assert {o.end - o.begin for o in found} == {86_400}


def test_a_day_in_which_clocks_change_has_23_or_25_hours() -> None:
    found = days("Europe/Berlin", dates=("2026-03-29", "2026-10-25"))
    assert [(o.end - o.begin) / 3_600 for o in found] == [23, 25]


def test_a_rule_may_know_easter_and_last_several_days() -> None:
    found = days(rule="FREQ=YEARLY;BYEASTER=-2", days=4, years=(2026, 2027))
    assert [(o.date, o.end - o.begin) for o in found] == [("2026-04-03", 4 * 86_400)]


def test_a_rule_that_counts_begins_where_it_says() -> None:
    found = days(rule="FREQ=WEEKLY;INTERVAL=4", starts="2026-01-05", years=(2026, 2027))
    assert [o.date for o in found][:3] == ["2026-01-05", "2026-02-02", "2026-03-02"]
    counted = days(rule="FREQ=MONTHLY;BYMONTHDAY=1;COUNT=2", starts="2026-01-01")
    assert [o.date for o in counted] == ["2026-01-01", "2026-02-01"]


def test_events_of_a_file_have_their_own_zones_exceptions_and_moved_repeats() -> None:
    found = days("Europe/Berlin", ics=EVENTS)
    assert [o.date for o in found] == [
        *("2024-11-29", "2024-12-24"),
        *("2025-12-23",),
        *("2026-11-27", "2026-12-24"),
    ]
    assert found[0].begin == unix(2024, 11, 29, 14)  # nine in New York
    assert found[1].begin == unix(2024, 12, 23, 23)  # midnight in Berlin
    assert [(o.end - o.begin) / 3_600 for o in found] == [9, 72, 96, 9, 72]
    assert [o.date for o in days(ics=EVENTS, summary="Sale")] == ["2024-11-29", "2026-11-27"]


READ = {
    "a mark at the begin of the file": "\ufeff" + event("DURATION:PT9H"),
    "one event three times": event("DURATION:PT9H", times=3),
    "lines that end as in Windows": event("DURATION:PT9H").replace("\n", "\r\n"),
    "its own zone in a calendar of another one": event(
        "DURATION:PT9H\nX-A:1", start="20261127T090000"
    )
    .replace("DTSTART:", "DTSTART;TZID=Europe/Berlin:")
    .replace("PRODID:", "X-WR-TIMEZONE:America/New_York\nPRODID:"),
}


@pytest.mark.parametrize("case", READ)
def test_calendars_as_programs_write_them_are_read(case: str) -> None:
    (found,) = days("Europe/Berlin", ics=READ[case])
    assert (found.begin, found.end) == (unix(2026, 11, 27, 8), unix(2026, 11, 27, 17))


def test_midnights_that_do_not_exist_or_come_twice_begin_a_day_once() -> None:
    # In Cairo clocks go from 23:59 to 1:00, in Havana from 0:59 back to 0:00.
    (cairo,) = days("Africa/Cairo", dates=("2026-04-24",))
    (havana,) = days("America/Havana", dates=("2026-11-01",))
    assert (cairo.begin, cairo.end) == (unix(2026, 4, 23, 22), unix(2026, 4, 24, 21))
    assert (havana.begin, havana.end) == (unix(2026, 11, 1, 4), unix(2026, 11, 2, 5))


def test_rules_that_never_come_up_are_found_out_soon() -> None:
    """dateutil looks for them until the year 9999, each for seconds."""
    began = time.process_time()
    never = "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"
    with pytest.raises(ContractError, match="never comes up"):
        CalendarPolicy("UTC", (RareDay("d", rule=never, starts="1970-01-01"),))
    lines = [f"DURATION:PT{n}H\nRRULE:{never};INTERVAL={n}" for n in range(1, 10)]
    for each in lines:
        assert [o.date for o in days(ics=event(each))] == ["2026-11-27"]
    assert time.process_time() - began < 4.5  # one of them takes longer in dateutil alone


WEEKDAYS_OF_THE_YEAR = {
    "FREQ=YEARLY;BYDAY=20MO": ["2026-05-18", "2027-05-17"],  # from RFC 5545
    "FREQ=YEARLY;BYDAY=-1SU": ["2026-12-27", "2027-12-26"],
    "FREQ=YEARLY;BYDAY=1MO,-1MO": ["2026-01-05", "2026-12-28", "2027-01-04", "2027-12-27"],
    "FREQ=YEARLY;BYDAY=-1FR;BYMONTH=11": ["2026-11-27", "2027-11-26"],
}


@pytest.mark.parametrize("rule", WEEKDAYS_OF_THE_YEAR)
def test_the_nth_weekday_of_a_year_is_no_weekday_of_each_month(rule: str) -> None:
    found = days(rule=rule, years=(2026, 2028))
    assert [o.date for o in found] == WEEKDAYS_OF_THE_YEAR[rule]


def test_a_rule_that_comes_up_seldom_is_not_missed() -> None:
    (found,) = days(rule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", years=(2026, 2029))
    assert found.date == "2028-02-29"
    friday13 = days(rule="FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", years=(2026, 2027))
    assert [o.date for o in friday13] == ["2026-02-13", "2026-03-13", "2026-11-13"]


def test_a_day_is_never_open_twice_and_the_last_one_is_known() -> None:
    a, b = Occurrence(0, 10, "d", "1"), Occurrence(5, 20, "d", "2")
    assert joined([b, a, a]) == [Occurrence(0, 20, "d", "1")]
    other = Occurrence(30, 40, "e", "3")
    later = Occurrence(35, 50, "d", "4")
    every = [a, other, later]
    assert open_at(every, 36) == later
    assert (open_at(every, 10), open_at(every, 0)) == (None, a)
    assert last_before(every, later) == a
    assert last_before(every, other) is None
    assert spans([later, other, a]) == [(0, 10), (30, 50)]


ICS = EVENTS.replace("PRODID:", "X-WR-TIMEZONE:America/New_York\nPRODID:")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a time zone that is none": ({"dates": ("2026-01-01",), "time_zone": "Mars/X"}, "such as Eur"),
    "a path as a zone": ({"dates": ("2026-01-01",), "time_zone": "../etc"}, "such as Eur"),
    "a date that is none": ({"dates": ("2026-13-01",)}, "expected a date such as 2026-11-27"),
    "a week as a date": ({"dates": ("2026-W48-5",)}, "expected a date"),
    "several times a day": ({"rule": "FREQ=HOURLY"}, "FREQ: expected one of"),
    "a time of day": ({"rule": FRIDAY + ";BYHOUR=3"}, "BYHOUR: expected whole days"),
    "no rule": ({"rule": "every friday"}, "expected a rule such as"),
    "a weekday that is none": ({"rule": "FREQ=YEARLY;BYDAY=QQ"}, "expected a rule of RFC 5545"),
    "30 February": ({"rule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "never comes up"),
    "a rule without its first day": ({"rule": "FREQ=YEARLY"}, "starts: expected the first day"),
    "a count without its first day": ({"rule": FRIDAY + ";COUNT=2"}, "starts: expected"),
    "half of the week": ({"rule": "FREQ=WEEKLY;BYDAY=MO,TU,WE"}, "43% of all time"),
    "two sources": ({"rule": FRIDAY, "dates": ("2026-01-01",)}, "exactly one of"),
    "no source": ({}, "exactly one of"),
    "a file over HTTP": ({"file": "shop.ics"}, "read by edge-hub policy"),
    "no calendar": ({"ics": "hello"}, "file: expected an iCalendar file"),
    "half a calendar": ({"ics": EVENTS[:300]}, "file: "),
    "no events": ({"ics": "BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR"}, "1 to 2000 events"),
    "too much": ({"ics": EVENTS + "x" * CHARACTERS}, "at most 100000 characters"),
    "a calendar in another zone": ({"ics": ICS}, "write time_zone: America/New_York beside it"),
    "a zone that nobody knows": ({"ics": EVENTS.replace("America/New_York", "Mars/X")}, "unknown"),
    "an event of another name": ({"ics": EVENTS, "summary": "sale"}, "no event 'sale'; there are"),
    "a date that cannot be read": (
        {"ics": EVENTS.replace("VALUE=DATE:20241224", "VALUE=DATE:soon")}, "cannot be read",
    ),
    "an event without an end": (
        {"ics": EVENTS.replace("DTEND;TZID=America/New_York:20241129T180000\n", "")},
        "expected an end",
    ),
    "an event every second for a century": (
        {"ics": EVENTS.replace("FREQ=YEARLY;UNTIL=20261224", "FREQ=SECONDLY;UNTIL=21241224")},
        "FREQ: expected one of",
    ),
    "an event of three years": (
        {"ics": EVENTS.replace("VALUE=DATE:20241227", "VALUE=DATE:20271227")}, "at most 31 days",
    ),
    "an event that lasts for ages": ({"ics": event("DURATION:P999999999D")}, "at most 31 days"),
    "an event of long ago": ({"ics": event("DURATION:PT1H", start="00010101T0000")}, "cannot be r"),
    "an event in the year 1": (
        {"ics": event("DURATION:PT1H", start="00010101T000000")}, "from 1970 to 2099, got 0001-01",
    ),
    "two begins": ({"ics": event("DURATION:PT1H\nDTSTART:20261127T090000")}, "DTSTART: expected o"),
    "two rules": ({"ics": event("DURATION:PT1H" + 2 * "\nRRULE:FREQ=YEARLY")}, "RRULE: expected o"),
    "a rule of what does not take place": (
        {"ics": event("DURATION:PT1H\nEXRULE:FREQ=YEARLY")}, "EXRULE: is not read",
    ),
    "one change for all that follow": (
        {"ics": event("DURATION:PT1H\nRECURRENCE-ID;RANGE=THISANDFUTURE:20261127T090000")},
        "RANGE is not read",
    ),
    "a date left out of times": (
        {"ics": event("DURATION:PT1H\nEXDATE;VALUE=DATE:20261127")}, "EXDATE: expected a date if",
    ),
    "a further time in a zone that nobody knows": (
        {"ics": event("DURATION:PT1H\nRDATE;TZID=Mars/X:20261204T090000")}, "Mars/X is unknown",
    ),
    "a further time that is a period": (
        {"ics": event("DURATION:PT1H\nRDATE;VALUE=PERIOD:20261204T090000Z/PT5H")}, "not periods",
    ),
    "too many that repeat": (
        {"ics": event("DURATION:PT1H\nRRULE:FREQ=YEARLY", times=REPEATING + 1)}, "200 events that",
    ),
    "no content but a name": ({"ics": "\x00BEGIN"}, "expected an iCalendar file"),
    "the last day of all": ({"dates": ("9999-12-31",)}, "from 1970 to 2099"),
    "a begin of long ago": ({"rule": "FREQ=WEEKLY", "starts": "1900-01-01"}, "from 1970 to 2099"),
    "no interval": ({"rule": FRIDAY + ";INTERVAL=0", "starts": "2026-01-01"}, "INTERVAL: expected"),
    "a count below one": ({"rule": FRIDAY + ";COUNT=-1", "starts": "2026-01-01"}, "COUNT: expecte"),
    "days that join for a quarter": (
        {"rule": "FREQ=WEEKLY;BYMONTH=11,12,1;BYDAY=MO", "days": 8}, "lasts 99 days at once",
    ),
    "an event every hour": ({"ics": EVENTS.replace("FREQ=YEARLY;U", "FREQ=HOURLY;U")}, "FREQ"),
    "a training every second": ({"rule": FRIDAY, "train_every_seconds": 1}, "at least 60 s"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_calendars_are_refused_in_words(case: str) -> None:
    day, reason = REFUSED[case]
    with pytest.raises(ContractError) as caught:
        CalendarPolicy("Europe/Berlin", (RareDay("d", **day),))
    assert reason in str(caught.value)


def test_a_calendar_in_another_zone_is_taken_where_the_policy_says_so() -> None:
    found = days("Europe/Berlin", ics=ICS, time_zone="America/New_York", summary="Christmas")
    assert found[0].begin == unix(2024, 12, 24, 5)


MANY = [f"{{name: d{n}, dates: ['2026-01-01']}}" for n in range(101)]
CONTRADICTIONS = {
    "calendar: {days: [{name: d, dates: ['2026-01-01'], train_every: 1h}]}": "no train",
    "triggers: [{name: t, when: {day: {name: x}}}]": "the calendar has no 'x'",
    "calendar: {days: [{name: d, dates: ['2026-01-01']}, {name: d, dates: ['2026-01-01']}]}": (
        "different names"
    ),
    "calendar: {time_zone: Nowhere}": "such as Europe/Berlin",
    f"calendar: {{days: [{', '.join(MANY)}]}}": "at most 100, got 101",
}


@pytest.mark.parametrize("text", CONTRADICTIONS)
def test_policies_that_contradict_their_calendar_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_policy(text)
    assert CONTRADICTIONS[text] in str(caught.value)
    assert str(caught.value).startswith("policy.yaml:1: ")


POLICY = """model: shop
calendar:
  time_zone: Europe/Berlin
  days:
  - name: sale   # of the shop
    file: shop.ics
    summary: Sale
  - {name: xmas, file: "shop.ics", summary: Christmas}
budget: {runs_per_week: 3}
"""


def test_files_that_a_policy_names_travel_in_it_and_lines_stay(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    (tmp_path / "shop.ics").write_bytes(EVENTS.replace("\n", "\r\n").encode())
    text = with_calendars(POLICY, file)
    policy = parse_policy(text)
    assert [day.ics for day in policy.calendar.days] == [EVENTS.replace("\n", "\r\n")] * 2
    assert len(text.splitlines()) == len(POLICY.splitlines())
    assert "# of the shop" in text
    assert parse_policy(as_yaml(policy)) == policy
    dates = [o.date for o in policy.calendar.occurrences(unix(2026, 1, 1), unix(2027, 1, 1))]
    assert dates == ["2026-11-27", "2026-12-24"]


@pytest.mark.parametrize("raw", [None, b"\xff\xfe", b" " * (MOST + 1)])
def test_a_calendar_that_cannot_be_read_is_named(tmp_path: Path, raw: bytes | None) -> None:
    if raw is not None:
        (tmp_path / "shop.ics").write_bytes(raw)
    with pytest.raises(Invalid) as caught:
        with_calendars(POLICY, tmp_path / "policy.yaml")
    assert "shop.ics" in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "calendar: 3", "calendar: {days: [1, {file: {}}]}", "[]"])
def test_what_is_no_policy_is_left_for_the_parser(tmp_path: Path, text: str) -> None:
    assert with_calendars(text, tmp_path / "p.yaml") == text
