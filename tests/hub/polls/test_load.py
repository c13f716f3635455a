"""A hub with more to do than it can: who is let in, when others come again, who comes rarely."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from cloud_hub.polls.admission import CROWDED, MOST, admits, come_again, kind_of
from cloud_hub.polls.pace import LONGEST_SECONDS, LOOK_SECONDS, SyncPace, next_interval
from cloud_hub.polls.shedding import Load, Shedding
from cloud_hub.polls.waiters import ALL_AT_ONCE, LONGEST_SPREAD, spread_seconds
from tests.clock import Clock
from tests.hub.polls.asgi import Answered, ask

KINDS = {
    "/v1/metadata/timestamp.json": "poll",
    "/v1/checkin": "poll",
    "/v1/credentials": "poll",
    "/v1/messages": "upload",
    "/v1/predict": "upload",
    "/v1/targets/models/demo/x": "download",
    "/v1/health": "other",
    "/v1/enrolment-tokens": "other",
    "/v1/models": "other",
}


@pytest.mark.parametrize("path", KINDS)
def test_requests_are_of_the_kind_of_their_path(path: str) -> None:
    assert kind_of(path) == KINDS[path]


def test_polls_are_let_in_when_uploads_are_not_and_people_always() -> None:
    full: Counter[Any] = Counter(upload=MOST["upload"])
    assert not admits("upload", full)
    assert admits("poll", full)
    assert admits("download", full)
    crowd: Counter[Any] = Counter(other=CROWDED)
    assert [admits(kind, crowd) for kind in ("poll", "upload", "download", "other")] == [
        True, False, False, True,
    ]  # fmt: skip
    assert not admits("poll", Counter(poll=MOST["poll"]))


@pytest.mark.parametrize(
    ("refused", "answered", "draw", "seconds"),
    [
        (1, 100.0, 0.5, 1),
        (3_000, 100.0, 0.5, 20),
        (3_000, 100.0, 1.0, 38),
        (10**6, 1.0, 0.5, 150),  # of those who need longer than anybody waits, not all come last
        (10**6, 1.0, 1.0, 300),
    ],
)
def test_those_who_are_refused_come_again_spread_over_the_time_that_they_need(
    refused: int, answered: float, draw: float, seconds: int
) -> None:
    assert come_again(refused, answered, draw, 300.0) == seconds


def _shed(load: Load, path: str, headers: dict[str, str]) -> Answered:
    async def nothing(*_: Any) -> None:
        raise AssertionError("it was let in")

    async def unread() -> Any:
        raise AssertionError("its body was read")

    return asyncio.run(ask(Shedding(nothing, load), path, headers, "POST"))


def test_a_refusal_says_when_to_come_again_and_reads_no_body() -> None:
    load = Load(Clock(0.0), draw=lambda: 0.5)
    for _ in range(MOST["upload"]):
        assert load.enter("upload") == 0
    small = _shed(load, "/v1/messages", {"Content-Length": "100"})
    assert (small.status, small.headers["retry-after"]) == (503, "1")
    assert b"come again in 1 s" in small.body
    assert "connection" not in small.headers
    large = _shed(load, "/v1/messages", {"Content-Length": str(1 << 20)})
    assert large.headers["connection"] == "close"
    assert load.refused["upload"] == 2
    load.leave("upload")
    assert load.enter("upload") == 0


def test_a_storm_after_a_quiet_night_is_not_sent_away_for_minutes() -> None:
    clock = Clock(0.0)
    load = Load(clock, draw=lambda: 1.0)
    for _ in range(30):  # nothing but a download now and then
        assert load.enter("download") == 0
        load.leave("download")
        clock.now += 600
    waits = [load.enter("download") for _ in range(1_000)]
    assert waits.count(0) == MOST["download"]
    assert max(waits) <= 45  # 800 others, if what is on its way takes five seconds


def test_nobody_is_sent_away_for_long_by_a_hub_that_has_not_seen_for_long_what_it_can() -> None:
    clock = Clock(0.0)
    load = Load(clock, draw=lambda: 1.0)
    told = []
    for _ in range(30):  # ten seconds each: a hundred are answered, and tens of thousands come
        told.append(max(load.enter("download") for _ in range(20_000)))
        for _ in range(min(100, load.under_way["download"])):
            load.leave("download")
        clock.now += 10
    assert told[:3] == [30, 50, 70]
    assert told[-1] == 300


def test_who_is_refused_by_a_slow_hub_comes_again_the_later_the_longer_it_is_slow() -> None:
    clock = Clock(0.0)
    load = Load(clock, draw=lambda: 1.0)
    told = []
    for _ in range(60):  # a second each: one is answered, and ten others come
        told.append(max(load.enter("download") for _ in range(MOST["download"] + 10)))
        load.leave("download")
        clock.now += 1
    assert told[-1] > 2 * told[0]


def test_devices_come_more_rarely_while_too_many_come_and_as_before_afterwards() -> None:
    interval, fleet, told = 60.0, 600_000, []
    for _ in range(8):
        interval = next_interval(interval, 60.0, fleet / interval)
        told.append(interval)
    assert told[0] == 120.0
    assert told[-1] == 400.0  # 600,000 devices at 1,500 polls a second
    for _ in range(8):
        interval = next_interval(interval, 60.0, 10.0)
    assert interval == 60.0
    assert next_interval(3_000.0, 60.0, 10**6) == LONGEST_SECONDS


def test_a_hub_without_an_opinion_says_nothing_until_too_many_come() -> None:
    clock = Clock(0.0)
    pace = SyncPace(clock=clock, spread=lambda: 1.0)
    pace.came()
    assert pace.told() == {}
    for _ in range(30_000):
        pace.came()
    clock.now += LOOK_SECONDS
    pace.came()
    assert pace.told() == {"Edge-Next-Sync": "120"}


def test_downloads_after_a_push_are_spread_by_how_many_were_told() -> None:
    assert spread_seconds(ALL_AT_ONCE - 1) == 0
    assert spread_seconds(500) == 10
    assert spread_seconds(100_000) == LONGEST_SPREAD
