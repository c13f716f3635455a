"""What a hub says with its answers, how far a device obeys, and when the sync thread syncs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.config import DeviceConfig
from edge_sdk.contract.fleet import CheckIn
from edge_sdk.errors import HubUnreachable
from edge_sdk.fleet.sync_times import LEAST_SECONDS, WAIT_SECONDS, SyncTimes
from edge_sdk.hub.news import LONGEST_SPREAD, DownloadSpread, HubAdvice, advice_of
from edge_sdk.hub.outbox import Outbox
from edge_sdk.hub.pause import LONGEST
from edge_sdk.state_db import StateDatabase
from edge_sdk.update.admission import Conditions, decide
from edge_sdk.update.syncer import Syncer, SyncResult, SyncSchedule
from tests.clock import Clock

ADVICE: dict[str, tuple[Mapping[str, str], HubAdvice]] = {
    "nothing": ({}, HubAdvice()),
    "an interval": ({"Edge-Next-Sync": "90"}, HubAdvice(90.0)),
    "a spread": ({"Edge-Spread": "20"}, HubAdvice(0.0, 20.0)),
    "a cache's answer": ({"Age": "3"}, HubAdvice(cached=True)),
    "a year": ({"Edge-Next-Sync": "31536000"}, HubAdvice(LONGEST)),
    "an hour's spread": ({"Edge-Spread": "3600"}, HubAdvice(0.0, LONGEST_SPREAD)),
    "noise": ({"Edge-Next-Sync": "soon", "Edge-Spread": "-1"}, HubAdvice()),
    "a number without end": ({"Edge-Next-Sync": "9" * 400}, HubAdvice()),
    "other digits": ({"Edge-Next-Sync": "٣"}, HubAdvice()),
}


@pytest.mark.parametrize("case", ADVICE)
def test_a_hubs_advice_is_read_and_bounded(case: str) -> None:
    headers, advice = ADVICE[case]
    assert advice_of(headers) == advice


@pytest.mark.parametrize(
    ("own", "asked", "least", "most"),
    [(60.0, 0.0, 48, 72), (60.0, 300.0, 240, 360), (900.0, 300.0, 720, 1_080), (0.2, 0.0, 0, 1)],
)
def test_a_hub_makes_a_device_come_more_rarely_and_never_more_often(
    own: float, asked: float, least: float, most: float
) -> None:
    schedule = SyncSchedule(DeviceConfig(sync_seconds=own))
    for _ in range(50):
        assert least <= schedule.after(SyncResult(next_sync=asked)) <= most


def test_a_spread_keeps_downloads_back_and_nothing_else_and_not_for_ever() -> None:
    def reason(step: Any, since: float | None = None) -> str | None:
        wait = decide((), 600.0, step, Conditions(1_000.0, 0.0, since, spread=30.0))
        return None if wait is None else f"{wait.reason} until {wait.until:.0f}"

    assert reason("download") == "spread until 1030"
    assert reason("activate") is None
    assert reason("download", since=390.0) is None  # put off for 600 s by then
    assert reason("download", since=420.0) == "spread until 1020"


def test_a_spread_that_is_on_is_not_begun_again() -> None:
    clock = Clock(100.0)
    spread = DownloadSpread(clock, draw=lambda: 0.5)
    spread.begin(40.0)
    clock.now += 15
    spread.begin(600.0)
    assert spread.left == 5.0
    clock.now += 15
    assert spread.left == 0.0


@dataclass
class Hub:
    """A hub whose news and headers a test decides."""

    clock: Clock
    advice: HubAdvice = HubAdvice()
    news: bool = False
    holds: bool = True
    away: bool = False
    asked: list[str] = field(default_factory=list)

    def conversation(self) -> AbstractContextManager[None]:
        return nullcontext()

    def ask_again(self) -> None:
        return None

    def changed(self, etag: str | None, wait: int = 0) -> str | None:
        self.asked.append(f"wait {wait}" if wait else "poll")
        if self.away:
            raise HubUnreachable("no answer")
        if wait and self.holds and not self.news:
            self.clock.now += wait
        return "new" if self.news or etag is None else None

    def checkin(self, checkin: CheckIn) -> None:
        self.asked.append("check-in")

    def alive(self) -> None:
        self.asked.append("alive")


class Knowing:
    """Trust that finds no plan for anybody."""

    def refresh(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def parts(tmp_path: Path) -> Any:
    clock = Clock(1_000.0)
    hub, store = Hub(clock), StateDatabase(tmp_path)
    client: Any = hub
    trust: Any = Knowing()
    syncer = Syncer(
        store, Outbox(store, "b1"), client, trust, {},
        describe=CheckIn, heartbeat=3_600.0, clock=clock,
        spread=DownloadSpread(clock, draw=lambda: 0.5),
    )  # fmt: skip
    yield hub, syncer, clock
    store.close()


def test_a_device_that_a_cache_answers_says_that_it_is_there(parts: Any) -> None:
    hub, syncer, _ = parts
    syncer.once()
    syncer.once()
    assert hub.asked == ["poll", "check-in", "poll"]
    hub.advice = HubAdvice(cached=True)
    syncer.once()
    assert hub.asked[3:] == ["poll", "alive"]


def _thread(parts: Any, *, waits: bool = True, seconds: float = 120.0) -> SyncTimes:
    hub, syncer, clock = parts

    def sync() -> float:
        hub.asked.append("sync")
        syncer.once()
        return seconds

    return SyncTimes(syncer, sync, lambda: waits, clock)


def _step(thread: SyncTimes, clock: Clock) -> None:
    wait = thread.work()  # time passes within it, too
    clock.now += wait


def _calls(parts: Any, thread: SyncTimes, number: int) -> list[str]:
    """What is asked in so many rounds of the thread, in time that passes as it wishes."""
    hub, _, clock = parts
    hub.asked.clear()
    for _ in range(number):
        _step(thread, clock)
    return [each for each in hub.asked if each not in ("poll", "check-in")]


def test_a_device_that_does_not_wait_syncs_at_its_times_as_ever(parts: Any) -> None:
    assert _calls(parts, _thread(parts, waits=False), 3) == ["sync", "sync", "sync"]
    assert parts[2].now == 1_360.0


def test_between_two_syncs_a_device_waits_and_news_end_that(parts: Any) -> None:
    hub, _, clock = parts
    thread = _thread(parts)
    assert _calls(parts, thread, 4) == ["sync", "wait 50", "wait 50", "wait 19"]
    assert _calls(parts, thread, 1) == ["sync"]
    began = clock.now
    hub.news = True
    assert _calls(parts, thread, 2) == ["wait 50", "sync"]
    assert clock.now - began <= 2 * LEAST_SECONDS


def test_news_without_end_make_no_device_sync_without_end(parts: Any) -> None:
    hub, _, clock = parts
    hub.news = True
    thread, began = _thread(parts), clock.now
    assert _calls(parts, thread, 20).count("sync") == 10
    assert clock.now - began >= 10 * LEAST_SECONDS


@pytest.mark.parametrize("trouble", ["holds", "away"])
def test_where_nobody_lets_it_wait_a_device_polls_at_its_times(parts: Any, trouble: str) -> None:
    hub, _, clock = parts
    thread = _thread(parts)
    _step(thread, clock)
    hub.holds, hub.away = False, trouble == "away"
    began = clock.now
    assert _calls(parts, thread, 2) == ["wait 50", "sync"]
    assert clock.now - began >= 119.0
    assert WAIT_SECONDS < 119.0


def test_after_a_spread_a_device_syncs_to_download(parts: Any) -> None:
    hub, syncer, clock = parts
    thread = _thread(parts, seconds=3_600.0)
    _step(thread, clock)
    hub.news, hub.advice = True, HubAdvice(spread=100.0)
    assert _calls(parts, thread, 2) == ["wait 50", "sync"]
    assert 0 < syncer.downloads_wait <= 50.0
    hub.news = False
    began = clock.now
    assert _calls(parts, thread, 2)[-1] == "sync"
    assert clock.now - began < 60.0
