"""When updates go on: windows of local time, networks that cost, and the application's word."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.config import DeviceConfig
from edge_sdk.errors import InputError
from edge_sdk.system.windows import WEEK, parse_windows
from edge_sdk.update.admission import ASK_AGAIN, Conditions, Step, Wait, decide

UTC = datetime.UTC
LIMIT = 7 * 86_400.0


def at(day: int, hour: int, minute: int = 0) -> float:
    """A moment of the week of Monday 3 August 2026, UTC."""
    return datetime.datetime(2026, 8, 3 + day, hour, minute, tzinfo=UTC).timestamp()


def wait(
    now: float, windows: Sequence[str] = (), step: Step = "download", **more: object
) -> Wait | None:
    conditions = Conditions(now, **({"signed": 0.0} | more))  # type: ignore[arg-type]
    return decide(parse_windows(windows), LIMIT, step, conditions, UTC)


NIGHT = ("22:00-06:00",)
WEEKDAYS = ("mon-fri 01:00-05:00",)
OPENINGS = {
    "within the night": (NIGHT, at(0, 23), None),
    "after midnight": (NIGHT, at(1, 5, 59), None),
    "just over": (NIGHT, at(1, 6), at(1, 22)),
    "by day": (NIGHT, at(2, 12, 30), at(2, 22)),
    "weekend": (WEEKDAYS, at(5, 2), at(7, 1)),
    "friday's end": (WEEKDAYS, at(4, 5), at(7, 1)),
    "sunday's night reaches into monday": (("sun 22:00-06:00",), at(0, 5), None),
    "and no further": (("sun 22:00-06:00",), at(0, 6), at(6, 22)),
    "over the end of the week": (("fri-mon 10:00-11:00",), at(1, 0), at(4, 10)),
    "two windows, the nearer": ((*WEEKDAYS, "sat 08:00-09:00"), at(4, 12), at(5, 8)),
    "days that are listed": (("tue,thu 00:00-24:00",), at(2, 0), at(3, 0)),
    "always": (("00:00-24:00",), at(3, 17), None),
    "no windows": ((), at(3, 17), None),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_a_window_is_waited_for(name: str) -> None:
    windows, now, opens = OPENINGS[name]
    assert wait(now, windows) == (None if opens is None else Wait("window", opens))
    assert wait(now, windows, "activate") == wait(now, windows)


@pytest.mark.parametrize(
    "text",
    ["", "22-06", "22:00-6:00", "25:00-26:00", "10:60-11:00", "24:00-01:00", "mon 1:00-02:00",
     "monday 01:00-02:00", "mon-tue-wed 01:00-02:00", "mon, tue 01:00-02:00", "01:00-24:01", None],
)  # fmt: skip
def test_a_text_that_is_no_window_is_refused_in_words(text: str) -> None:
    with pytest.raises(InputError, match='expected texts such as "22:00-06:00"'):
        parse_windows([text])
    with pytest.raises(InputError, match="update_windows"):
        DeviceConfig(update_windows=(text,))
    with pytest.raises(InputError, match="update_windows: expected a tuple"):
        DeviceConfig(update_windows="22:00-06:00")  # type: ignore[arg-type]


@given(st.floats(at(0, 0), at(0, 0) + 400 * 86_400), st.sampled_from([NIGHT, WEEKDAYS]))
def test_a_window_opens_within_a_week_and_is_open_then(
    now: float, windows: tuple[str, ...]
) -> None:
    for zone in (UTC, ZoneInfo("Europe/Zurich"), ZoneInfo("Australia/Lord_Howe")):
        looks = 0
        while found := decide(parse_windows(windows), LIMIT, "download", Conditions(now, 0), zone):
            assert now < found.until <= now + 60 * WEEK
            now, looks = found.until, looks + 1
            assert looks <= 3  # summer time begins or ends at most once on the way


def test_a_clock_that_is_behind_what_the_hub_signed_has_no_windows() -> None:
    noon = at(2, 12)
    assert wait(noon, NIGHT, signed=noon) is not None
    assert wait(noon, NIGHT, signed=noon + 3_600) is not None
    assert wait(noon, NIGHT, signed=noon + 2 * 86_400) is None
    assert wait(0.0, NIGHT, signed=noon) is None


def test_a_network_that_costs_is_waited_for_a_week_and_only_for_downloads() -> None:
    noon = at(2, 12)
    assert wait(noon, metered=True) == Wait("metered", noon + LIMIT)
    assert wait(noon, metered=True, since=noon - 86_400) == Wait("metered", noon + 6 * 86_400)
    assert wait(noon, metered=True, since=noon - LIMIT) is None
    assert wait(noon, (), "activate", metered=True) is None


def test_the_application_is_asked_again_when_it_says_and_never_beyond_the_limit() -> None:
    noon = at(2, 12)
    for go in (None, True, 0, 0.0, -5):
        assert wait(noon, answer=go) is None
    assert wait(noon, answer=False) == Wait("application", noon + ASK_AGAIN)
    assert wait(noon, answer=3_600) == Wait("application", noon + 3_600)
    assert wait(noon, answer=10 * LIMIT) == Wait("application", noon + LIMIT)
    since = noon - LIMIT + 10
    assert wait(noon, answer=3_600, since=since) == Wait("application", noon + 10)
    assert wait(noon, answer=False, since=noon - LIMIT) is None


@given(
    st.floats(0, 4e9),
    st.floats(0, 4e9),
    st.one_of(st.none(), st.floats(0, 4e9)),
    st.booleans(),
    st.one_of(st.none(), st.booleans(), st.floats(-1e9, 1e9)),
)
def test_every_wait_ends(
    now: float, signed: float, since: float | None, metered: bool, answer: bool | float | None
) -> None:
    found = decide((), LIMIT, "download", Conditions(now, signed, since, metered, answer), UTC)
    if found is not None:
        assert math.isfinite(found.until)
        assert now <= found.until <= now + LIMIT


def test_a_clock_that_lost_its_time_has_not_waited_for_decades() -> None:
    """A device boots in 1970 and is put off; then its clock is set."""
    noon = at(2, 12)
    booted = Conditions(100.0, noon, answer=False)
    assert booted.counted == noon
    assert decide((), LIMIT, "download", booted, UTC) == Wait("application", 160.0)
    assert wait(noon + 60, answer=False, since=booted.counted, signed=noon) is not None
