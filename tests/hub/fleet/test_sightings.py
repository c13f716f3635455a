"""When devices were heard of: in memory at once, in the database every few seconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.fleet.sightings import Sightings
from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub
from tests.clock import Clock
from tests.simulated_device import enrolled


@pytest.fixture
def two(inner: Hub) -> list[str]:
    token = inner.fleet.new_token("demo", "other", uses=2, seconds=60, actor="ann")
    names = [enrolled(inner, token) for _ in range(2)]
    stored(inner, lambda db: db.exec_driver_sql("UPDATE devices SET seen_at = 100"))
    return names


def stored(hub: Hub, change: Callable[..., object] | None = None) -> dict[str, float]:
    with hub.engine.begin() as db:
        if change is not None:
            change(db)
        query = select(devices.c.device, devices.c.seen_at)
        return {row.device: row.seen_at for row in db.execute(query)}


def test_what_is_in_memory_counts_at_once_and_is_written_together(
    inner: Hub, two: list[str]
) -> None:
    clock = Clock(200.0)
    inner.fleet.sightings = sightings = Sightings(inner.engine, clock)
    sightings.note(two[0])
    assert {r.device: r.seen_at for r in inner.fleet.devices()} == {two[0]: 200, two[1]: 100}
    assert stored(inner) == dict.fromkeys(two, 100)
    assert [r.device for r in inner.fleet.devices(since=150)] == [two[0]]  # the database is asked
    assert stored(inner) == {two[0]: 200, two[1]: 100}
    assert sightings.flush() == 0


def test_a_time_is_never_taken_back(inner: Hub, two: list[str]) -> None:
    late, early = (Sightings(inner.engine, Clock(now)) for now in (300.0, 200.0))
    for process in (late, early):
        for name in two:
            process.note(name)
    assert [late.flush(), early.flush()] == [2, 2]
    assert stored(inner) == dict.fromkeys(two, 300)
    assert early.newest(two[0], 300.0) == 300.0


def _broken() -> Engine:
    return create_engine("sqlite:////nowhere/at/all.db")


def test_what_the_database_does_not_take_waits_for_it(
    inner: Hub, two: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(200.0)
    sightings = Sightings(_broken(), clock)
    sightings.note(two[0])
    with pytest.raises(SQLAlchemyError):
        sightings.flush()
    for _ in range(2):
        sightings.flusher.attempt()
    assert len(caplog.records) == 1  # once, and not every ten seconds
    assert sightings.newest(two[0], 100.0) == 200.0
    sightings._engine = inner.engine
    sightings.flusher.stop()
    assert stored(inner) == {two[0]: 200, two[1]: 100}


def test_a_device_that_is_forgotten_is_not_heard_of_again(inner: Hub, two: list[str]) -> None:
    inner.fleet.sightings.note(two[0])
    inner.fleet.forget(two[0], reason="asked for", actor="ann")
    assert inner.fleet.sightings.flush() == 0


def test_closing_a_hub_writes_what_is_in_memory(inner: Hub, two: list[str]) -> None:
    inner.fleet.sightings.note(two[1])
    inner.close()
    assert stored(inner)[two[1]] > 1_000_000
