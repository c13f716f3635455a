"""Messages: counted once, refused one by one, merged by addition."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from cloud_hub.cli.monitoring import status_text
from cloud_hub.database.documents import as_document
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from cloud_hub.telemetry.tables import samples
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    KeyVotes,
    Message,
    SampleBatch,
    UpdateEvent,
    Upload,
    WindowReport,
    kind_of,
)
from edge_sdk.contract.plan import Arm, Experiment, ReleaseRef
from edge_sdk.contract.window import Window
from tests.contract.examples import histogram_text
from tests.edge.builders import profile
from tests.simulated_device import vouched

NOW = int(time.time()) // 60 * 60
WINDOW = Window("demo", "1.0", NOW - 60, NOW)


def report(hub: Hub, **changes: Any) -> WindowReport:
    release = hub.registry.release("demo", "1.0")
    features, outputs = (
        histogram_text(*((10, *[0] * (f.bins + 1)) for f in layout))
        for layout in (profile().features, profile().outputs)
    )
    made = WindowReport(
        WINDOW, release.profile_digest, {"model": 8, "pack": 2}, features, outputs, 10,
        latency={"model": (8, *[0] * 63)},
    )  # fmt: skip
    return replace(made, **changes)


def upload(*bodies: Body, first: int = 1, boot: str = "b1") -> Upload:
    return Upload(
        tuple(Message(boot, first + i, kind_of(b), to_plain(b)) for i, b in enumerate(bodies))  # type: ignore[arg-type]
    )


def test_one_device_is_not_the_fleet_however_much_it_claims(serving: Hub) -> None:
    release = serving.registry.release("demo", "1.0")
    last = [
        histogram_text(*((*[0] * (f.bins + 1), 1_000) for f in layout))
        for layout in (profile().features, profile().outputs)
    ]
    claim = WindowReport(
        WINDOW, release.profile_digest, {"model": 1_000}, *last, 1_000,
        latency={"model": (1_000, *[0] * 63)},
    )  # fmt: skip
    for i in range(10):
        serving.telemetry.ingest(EnrolledDevice(f"d-{i}", ("demo",)), upload(report(serving)))
    assert (
        serving.telemetry.ingest(EnrolledDevice("hostile", ("demo",)), upload(claim)).accepted == 1
    )
    counts = serving.telemetry.fleet_histograms("demo", "1.0", since=0.0, most=0.2)["f0"]
    assert (counts[0], counts[-1]) == (100, 25)  # a fifth of 125
    plain = serving.telemetry.fleet_histograms("demo", "1.0", since=0.0, most=1.0)["f0"]
    assert (plain[0], plain[-1]) == (100, 1_000)


def test_a_message_sent_again_is_counted_once(serving: Hub) -> None:
    sent = upload(report(serving), FeedbackReport(WINDOW, 5, 4, 5, 3))
    first = serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), sent)
    again = serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), sent)
    assert (first.accepted, first.duplicates) == (2, 0)
    assert (again.accepted, again.duplicates) == (0, 2)
    assert serving.telemetry.predictions_by_device("demo") == {"d-1": 10}


def test_the_same_name_of_another_device_or_start_is_another_message(serving: Hub) -> None:
    for device, boot in (("d-1", "b1"), ("d-2", "b1"), ("d-1", "b2")):
        serving.telemetry.ingest(
            EnrolledDevice(device, ("demo",)), upload(report(serving), boot=boot)
        )
    assert serving.telemetry.predictions_by_device("demo") == {"d-1": 20, "d-2": 10}


REFUSED: dict[str, tuple[Any, str]] = {
    "another model": (
        lambda hub: report(hub, window=replace(WINDOW, model="other")), "belongs to demo",
    ),
    "a version nobody published": (
        lambda hub: report(hub, window=replace(WINDOW, version="9.9")), "9.9: not published",
    ),
    "a window in the future": (
        lambda hub: report(hub, window=replace(WINDOW, start=NOW + 864_000, end=NOW + 864_060)),
        "in the future",
    ),
    "another reference profile": (lambda hub: report(hub, profile="e" * 64), "profile: expected"),
    "histograms of other bins": (
        lambda hub: report(hub, features=histogram_text(*[(10, 0)] * 4)), "histograms: expected [",
    ),
    "histograms of more than it observed": (
        lambda hub: report(hub, observations=9), "expected each to add up to 9 observations",
    ),
    "histograms that are no text of any": (
        lambda hub: report(hub, features="AQ"), "histograms: expected more counts, the text ends",
    ),
    "histograms of nothing": (
        lambda hub: report(hub, observations=0), "expected each to add up to 0 observations",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_message_that_cannot_be_is_refused_and_its_neighbours_are_taken(
    serving: Hub, case: str
) -> None:
    make, reason = REFUSED[case]
    sent = upload(report(serving), make(serving), FeedbackReport(WINDOW, 1, 1))
    reply = serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), sent)
    assert reply.accepted == 2
    assert [r.sequence for r in reply.rejected] == [2]
    assert reason in reply.rejected[0].reason


def test_a_body_that_is_not_what_its_kind_says_is_refused(serving: Hub) -> None:
    sent = Upload((Message("b1", 1, "window", {"nonsense": True}),))
    reply = serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), sent)
    assert "expected a value, but the field is missing" in reply.rejected[0].reason


def test_windows_of_devices_add_up(serving: Hub) -> None:
    for device in ("d-1", "d-2", "d-3"):
        counted = report(serving, degraded=1, stale=3, defaulted=2, errors={"shape": 2})
        bodies = (counted, FeedbackReport(WINDOW, 5, 4))
        serving.telemetry.ingest(EnrolledDevice(device, ("demo",)), upload(*bodies))
    (window,) = serving.telemetry.windows("demo")
    assert window.predictions == {"model": 24, "pack": 6}
    assert (window.degraded, window.errors, window.devices) == (3, {"shape": 6}, 3)
    assert (window.stale, window.defaulted) == (9, 6)
    text = status_text(as_document(serving.monitoring.status("demo")))
    assert "30 predictions: stale in 9 of them (30.0%), not there in 6 of them (20.0%)" in text
    assert (window.labelled, window.correct) == (15, 12)
    assert window.latency["model"][0] == 24
    ((start, histograms, observations),) = serving.telemetry.histogram_rows("demo", "1.0")
    assert (start, observations, histograms["f0"][0]) == (NOW - 60, 30, 30)


def test_outcomes_are_kept_apart_by_arm(serving: Hub) -> None:
    arm = Arm("candidate", ReleaseRef(WINDOW.version, "0" * 64), ((0, 5_000),))
    both = Experiment("exp", "ab", "salt", (arm,), unit="key")
    serving.plans.change("demo", lambda p: replace(p, experiment=both), actor="t", reason="try")
    # Of now: this module may have been imported long before the plan was made.
    now = int(time.time()) // 60 * 60
    trial = replace(WINDOW, start=now, end=now + 60, experiment="exp", arm="candidate")
    bodies = (FeedbackReport(WINDOW, 9, 9, 9, 9), FeedbackReport(trial, 5, 2, 4, 1))
    serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), upload(*bodies))
    windows = {w.arm: w for w in serving.telemetry.windows("demo")}
    assert (windows["candidate"].own_labelled, windows["candidate"].own_correct) == (4, 1)
    assert windows["candidate"].experiment == "exp"


def test_shared_rows_come_back_with_their_labels(serving: Hub) -> None:
    serving.registry.set_policy("demo", "sharing: {samples: true, per_window: 5}\n", "test")
    batch = SampleBatch("demo", "1.0", ((1.0, 2.0, 3.0, 4.0),) * 3, (0, 1, 2), (NOW, NOW, NOW - 99))
    serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), upload(batch))
    data = serving.telemetry.samples("demo", since=NOW - 10)
    assert data is not None
    assert data.labels is not None
    assert (data.X.shape, set(map(str, data.X.dtypes)), data.labels.tolist()) == (
        (2, 4),
        {"float32"},
        [0, 1],
    )
    assert serving.telemetry.samples("demo", since=NOW + 1) is None


def test_a_key_counts_by_devices_and_not_by_how_often_one_asks(serving: Hub) -> None:
    voters = vouched(serving, 3)
    today = NOW // 300 * 300
    for sequence in range(1, 6):
        votes = KeyVotes("demo", "1.0", today - 300 * sequence, ("aa" * 16,))
        serving.telemetry.ingest(
            EnrolledDevice(voters[0], ("demo",)), upload(votes, first=sequence)
        )
    for device in voters:
        votes = KeyVotes("demo", "1.0", today, ("bb" * 16,))
        serving.telemetry.ingest(EnrolledDevice(device, ("demo",)), upload(votes, first=50))
    voted = serving.telemetry.voted_keys("demo", minimum_devices=3, most=10)
    assert voted == [bytes.fromhex("bb" * 16)]


def test_events_are_kept_in_order(serving: Hub) -> None:
    events = [
        UpdateEvent("demo", "activated", "1.0", NOW),
        UpdateEvent("demo", "failed", "1.1", NOW),
    ]
    serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), upload(*events))
    assert [e.outcome for e in serving.telemetry.events("demo")] == ["activated", "failed"]


def test_rows_that_an_older_hub_took_do_not_stop_a_training(serving: Hub) -> None:
    named = {"device": "d-1", "model": "demo", "taken": NOW}
    rows = [
        {**named, "version": "1.0", "row": [1.0, 2.0], "label": 0},
        {**named, "version": "8.8", "row": [1.0, 2.0, 3.0, 4.0, 5.0], "label": 0},
        {**named, "version": "1.0", "row": [1.0, 2.0, 3.0, 4.0], "label": 1},
    ]
    with serving.engine.begin() as db:
        db.execute(insert(samples), rows)
    data = serving.telemetry.samples("demo")
    assert data is not None
    assert (data.X.values.tolist(), data.labels, data.devices) == ([[1, 2, 3, 4]], [1], ["d-1"])
