"""When a job is due, and what is kept: pure functions of time and records."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.batch.record import GenerationRecord
from cloud_hub.batch.schedule import Due, before, due, in_front, retired, upcoming
from cloud_hub.policy.schema import BatchJob, BatchSource

SOURCE = BatchSource(csv="x")
HOUR = 3_600.0


def job(**more: Any) -> BatchJob:
    return BatchJob(SOURCE, **more)


def record(id_: int, as_of: float, cause: str = "schedule", **more: Any) -> GenerationRecord:
    values: dict[str, Any] = {
        "id": id_, "model": "m", "job": "j", "status": "whole", "cause": cause, "actor": "hub",
        "as_of": as_of, "line": "m", "version": "1.0", "digest": "d", "output": "sql",
        "source": "", "layout": {}, "partitions": 1, "done": 1, "rows": 1, "attempts": 1,
        "created_at": as_of, "started_at": as_of, "computed_at": as_of, "valid_until": as_of,
        "updated_at": as_of, "peak_mb": 1, "reason": "",
    }  # fmt: skip
    return GenerationRecord(**{**values, **more})


def utc(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


def test_an_interval_counts_from_the_last_that_was_asked_for() -> None:
    every = job(every_seconds=HOUR)
    assert due(every, [], "d", since=0, now=10) == Due("schedule", 10)
    asked = [record(1, 100.0)]
    assert due(every, asked, "d", since=0, now=100 + HOUR - 1) is None
    assert due(every, asked, "d", since=0, now=100 + HOUR) == Due("schedule", 100 + HOUR)
    past = [*asked, record(2, 50.0, "backfill")]
    assert due(every, past, "d", since=0, now=200) is None


def test_nothing_is_due_while_nothing_serves() -> None:
    assert due(job(every_seconds=1.0), [], None, since=0, now=10) is None


def test_a_failure_is_not_tried_again_before_its_time() -> None:
    failed = [record(1, 100.0, status="failed")]
    assert due(job(every_seconds=HOUR), failed, "d", since=0, now=200) is None
    assert due(job(after_promote=True), failed, "d", since=0, now=200) is None


def test_a_cron_line_comes_once_however_long_the_hub_was_away() -> None:
    daily = job(cron="0 4 * * *")
    now = utc("2026-03-10 09:30")
    assert due(daily, [], "d", since=now - 60, now=now) is None  # it was declared after four
    old = [record(1, utc("2026-03-01 04:00"))]
    four = utc("2026-03-10 04:00")
    assert due(daily, old, "d", since=0, now=now) == Due("schedule", four)
    assert due(daily, [*old, record(2, four)], "d", since=0, now=now) is None


def test_a_cron_line_is_read_in_its_time_zone() -> None:
    four = before("0 4 * * *", "Europe/Berlin", utc("2026-07-10 09:30"))
    assert four == utc("2026-07-10 02:00")
    # On the day when clocks go forward there is no half past two: it comes at three.
    night = before("30 2 * * *", "Europe/Berlin", utc("2026-03-29 12:00"))
    assert night == utc("2026-03-29 01:00")
    assert before("0 4 * * *", "UTC", utc("2026-07-10 04:00")) == utc("2026-07-10 04:00")
    assert upcoming(job(cron="0 4 * * *"), None, utc("2026-07-10 04:00")) == utc("2026-07-11 04:00")


def test_a_clock_that_was_wrong_once_stops_nothing() -> None:
    future = [record(1, 9e9), record(2, 100.0)]
    assert due(job(every_seconds=HOUR), [future[0]], "d", since=0, now=200) == Due("schedule", 200)
    old = [record(1, 9e9, "schedule")]
    now = utc("2026-03-10 09:30")
    assert due(job(cron="0 4 * * *"), old, "d", since=0, now=now) is not None
    assert [r.id for r in retired(future, job(keep=1), 200.0)] == [1]


def test_another_version_is_due_once() -> None:
    promoted = job(after_promote=True)
    assert due(promoted, [], "d", since=0, now=5) == Due("promote", 5)
    assert due(promoted, [record(1, 1.0)], "d", since=0, now=5) is None
    assert due(promoted, [record(1, 1.0)], "e", since=0, now=5) == Due("promote", 5)
    waits = [record(1, 1.0, digest="", status="waiting")]
    assert due(promoted, waits, "e", since=0, now=5) is None


def test_old_generations_are_retired_and_backfills_have_a_life_of_their_own() -> None:
    records = [record(i, float(i)) for i in range(1, 6)]
    past = record(9, 0.5, "backfill", computed_at=1_000.0)
    kept = job(keep=2, keep_backfills_seconds=100.0)
    assert [r.id for r in retired([*records, past], kept, 1_050.0)] == [3, 2, 1]
    assert [r.id for r in retired([*records, past], kept, 1_100.0)] == [3, 2, 1, 9]
    assert [r.id for r in retired([*records, past], None, 1_050.0)] == [4, 3, 2, 1, 9]


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), max_size=12),
    st.integers(1, 5), st.floats(0, 2e6),
)  # fmt: skip
def test_the_one_that_answers_is_never_retired(
    moments: list[tuple[float, bool]], keep: int, now: float
) -> None:
    records = [
        record(i, at, "backfill" if past else "schedule") for i, (at, past) in enumerate(moments)
    ]
    gone = {r.id for r in retired(records, job(keep=keep), now)}
    if records:
        assert max(records, key=lambda r: in_front(r, now)).id not in gone
    left = [r for r in records if r.cause == "schedule" and r.id not in gone]
    assert len(left) <= max(keep, 1)


BAD = {
    "two clocks": {"every_seconds": 60.0, "cron": "0 * * * *"},
    "a cron line that never comes": {"cron": "0 0 30 2 *"},
    "no time zone": {"timezone": "Mars/Base"},
    "a list without a length": {"item": "hotel"},
    "an attribute that is the answer": {"attributes": ("Version",)},
    "an attribute twice": {"attributes": ("a", "a")},
    "a default of a list": {"top": 3, "default": 1},
    "nothing to keep": {"keep": 0},
}


@pytest.mark.parametrize("case", BAD)
def test_a_job_that_contradicts_itself_is_refused(case: str) -> None:
    from edge_sdk.contract.errors import ContractError

    with pytest.raises(ContractError, match="expected|columns of the answer|has default|needs"):
        job(**BAD[case])
