"""Uploads that wait are stored together, counted once, and answered when they are on disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, delete, update

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Unavailable
from cloud_hub.experiments.claims import ExperimentClaims
from cloud_hub.hub import Hub
from cloud_hub.personalise.claims import MadePriors
from cloud_hub.telemetry.intake.ingest import Ingest
from cloud_hub.telemetry.intake.opening import OpenedMessages
from cloud_hub.telemetry.intake.writer import UploadWriter, WriterLimits
from cloud_hub.telemetry.service import Telemetry
from cloud_hub.telemetry.storing import Stored
from cloud_hub.telemetry.tables import feedback, reports, totals, window_sums
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, Upload
from tests.hub.telemetry.reporting_fleet import Simulated
from tests.waiting import PATIENCE, wait_for


class Recorder:
    """Stores nothing, in transactions that it can be kept in."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []
        self.open = threading.Event()

    def __call__(self, db: Connection, uploads: Sequence[OpenedMessages]) -> list[Stored]:
        names = [upload.device for upload in uploads]
        self.transactions.append(names)
        assert self.open.wait(PATIENCE)
        if "bad" in names:
            raise ValueError("it cannot be stored")
        return [Stored(len(upload.received), ()) for upload in uploads]


def upload_of(device: str, messages: int = 1) -> OpenedMessages:
    each: Any = [_Received(Message("b", n + 1, "window", {})) for n in range(messages)]
    return OpenedMessages(device, each, ())


class _Received:
    def __init__(self, message: Message) -> None:
        self.message = message


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def writer_of(hub: Hub, recorder: Recorder, **limits: int) -> UploadWriter:
    return UploadWriter(hub.engine, [recorder], WriterLimits(**limits))


def test_what_waits_is_stored_in_one_transaction_and_a_full_queue_says_come_again(
    inner: Hub, recorder: Recorder
) -> None:
    writer = writer_of(inner, recorder, uploads=3)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(writer.put, upload_of("first"))
        wait_for(lambda: recorder.transactions == [["first"]], "the writer")
        others = [pool.submit(writer.put, upload_of(name)) for name in ("a", "b", "c")]
        wait_for(lambda: len(writer._waiting) == 3, "the writer")
        with pytest.raises(Unavailable, match="3 uploads of 0 bytes wait") as refused:
            writer.put(upload_of("late"))
        assert refused.value.headers == {"Retry-After": "5"}
        recorder.open.set()
        assert [each.result(PATIENCE).accepted for each in (first, *others)] == [1] * 4
    assert len(recorder.transactions) == 2
    assert sorted(recorder.transactions[1]) == ["a", "b", "c"]
    writer.stop()
    with pytest.raises(Unavailable, match="ending"):
        writer.put(upload_of("later"))


def test_bytes_that_wait_are_bounded_too(inner: Hub, recorder: Recorder) -> None:
    writer = writer_of(inner, recorder, waiting_bytes=100)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(writer.put, upload_of("first"), 90)
        wait_for(lambda: len(recorder.transactions) == 1, "the writer")
        second = pool.submit(writer.put, upload_of("second"), 90)
        wait_for(lambda: len(writer._waiting) == 1, "the writer")
        with pytest.raises(Unavailable, match="1 uploads of 90 bytes wait"):
            writer.put(upload_of("third"), 20)
        recorder.open.set()
        assert first.result(PATIENCE) == second.result(PATIENCE) == Stored(1, ())
    writer.stop()


def test_one_that_cannot_be_stored_costs_no_other(inner: Hub, recorder: Recorder) -> None:
    writer = writer_of(inner, recorder)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(writer.put, upload_of("first"))
        wait_for(lambda: len(recorder.transactions) == 1, "the writer")
        bad, good = (pool.submit(writer.put, upload_of(name, 2)) for name in ("bad", "good"))
        wait_for(lambda: len(writer._waiting) == 2, "the writer")
        recorder.open.set()
        assert first.result(PATIENCE).accepted == 1
        assert good.result(PATIENCE) == Stored(2, ())
        refused = bad.result(PATIENCE).refused
    writer.stop()
    assert [(each.sequence, each.reason) for each in refused] == [
        (n, "the hub cannot store it; ValueError") for n in (1, 2)
    ]


def test_a_message_that_comes_to_two_workers_at_once_counts_once(serving: Hub) -> None:
    fleet = Simulated(serving, devices=2)
    claims = ExperimentClaims(serving.engine)
    ingest = Ingest(serving.engine, serving.registry, claims, serving.flags.raise_, MadePriors())
    other = Telemetry(serving.engine, serving.registry, ingest)
    device = EnrolledDevice(fleet.names[0], ("demo",))
    body = to_plain(fleet.report_of(0))
    sent = [Upload((Message("b1", n, "window", body),)) for n in range(1, 9)]
    with ThreadPoolExecutor(16) as pool:
        replies = list(
            pool.map(
                lambda pair: pair[0].ingest(device, pair[1]),
                [(way, upload) for upload in sent for way in (serving.telemetry, other)] * 2,
            )
        )
    other.close()
    assert sum(reply.accepted for reply in replies) == 8
    assert sum(reply.duplicates for reply in replies) == 24
    assert serving.telemetry.predictions_by_device("demo") == {device.device: 800}
    (window,) = serving.telemetry.windows("demo")
    assert (window.devices, window.predictions) == (1, {"model": 800})
    ((_, _, observations),) = serving.telemetry.histogram_rows("demo", "1.0")
    assert observations == 800


def test_sums_that_are_made_as_reports_come_in_are_those_of_the_reports(serving: Hub) -> None:
    fleet = Simulated(serving, devices=3, rows=20)
    for number in (0, 1, 1, 2):  # in one of them every device reports twice
        fleet.window(number, errors=0.3, shift=number)
    telemetry = serving.telemetry
    summed = answers(telemetry)
    assert [window.devices for window in telemetry.windows("demo")] == [3, 3, 3]
    with serving.engine.begin() as db:  # as an older hub would have left them
        db.execute(update(reports).values(summed=0))
        db.execute(update(feedback).values(summed=0))
        db.execute(delete(window_sums))
        db.execute(delete(totals))
    assert answers(telemetry) == summed
    fleet.window(3)  # of a hub that knows the sums, beside it
    assert telemetry.predictions_by_device("demo") == dict.fromkeys(fleet.names, 100)
    assert [window.predictions["model"] for window in telemetry.windows("demo")] == [
        60,
        120,
        60,
        60,
    ]


def answers(telemetry: Telemetry) -> tuple[object, ...]:
    return (
        telemetry.windows("demo"),
        telemetry.histogram_rows("demo", "1.0"),
        telemetry.predictions_by_device("demo"),
    )
