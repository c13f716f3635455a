"""Reports become hourly sums: every question but those about single devices has the same answer."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, select

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Invalid
from cloud_hub.hub import Hub
from cloud_hub.policy.schema import parse_policy
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.histograms import histograms_of
from cloud_hub.telemetry.tables import feedback, messages, reports, samples
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, SampleBatch, Upload, kind_of
from tests.contract.examples import histogram_text
from tests.hub.telemetry.reporting_fleet import BEGIN, WINDOW, Simulated

HOUR = 3_600
LATER = BEGIN + 10 * 86_400.0


def count(hub: Hub, table: object) -> int:
    with hub.engine.connect() as db:
        return int(db.execute(select(func.count()).select_from(table)).scalar() or 0)  # type: ignore[arg-type]


@pytest.fixture
def fleet(serving: Hub) -> Simulated:
    fleet = Simulated(serving, devices=3, rows=40)
    for number in (0, 1, 2, 70, 71):  # two different hours
        fleet.window(number, errors=0.2)
    return fleet


def test_answers_are_the_same_before_and_after(fleet: Simulated) -> None:
    hub = fleet.hub
    before = outcomes(hub)
    sums = histogram_sums(hub)
    devices = hub.telemetry.predictions_by_device("demo")
    assert retention.clean(hub.engine, "demo", LATER, Retention()) == 30
    assert count(hub, reports) == count(hub, feedback) == 2
    assert outcomes(hub) == before
    assert histogram_sums(hub) == sums
    assert hub.telemetry.predictions_by_device("demo") == devices
    windows = hub.telemetry.windows("demo")
    assert [window.start % HOUR for window in windows] == [0, 0]
    assert sum(w.predictions["model"] for w in windows) == 5 * 3 * 40
    assert sum(w.labelled for w in windows) == 5 * 3 * 40


def outcomes(hub: Hub) -> Counter[str]:
    """Sums over all windows."""
    sums: Counter[str] = Counter()
    for window in hub.telemetry.windows("demo"):
        sums["predictions"] += sum(window.predictions.values())
        sums["errors"] += sum(window.errors.values())
        sums["labelled"] += window.own_labelled
        sums["correct"] += window.own_correct
    return sums


def histogram_sums(hub: Hub) -> list[int]:
    rows = hub.telemetry.histogram_rows("demo", "1.0")
    return np.sum([histograms["f1"] for _, histograms, _ in rows], axis=0).tolist()


def test_what_comes_late_is_added_to_its_hour(fleet: Simulated) -> None:
    retention.clean(fleet.hub.engine, "demo", LATER, Retention())
    fleet.window(1, errors=0.0)
    assert retention.clean(fleet.hub.engine, "demo", LATER, Retention()) == 6
    assert retention.clean(fleet.hub.engine, "demo", LATER, Retention()) == 0
    assert count(fleet.hub, reports) == 2
    assert outcomes(fleet.hub)["predictions"] == 6 * 3 * 40


def test_many_rows_are_rolled_up_in_several_transactions(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outcomes(fleet.hub)
    monkeypatch.setattr(retention, "ROWS", 4)
    monkeypatch.setattr(retention, "STEPS", 2)
    assert retention.clean(fleet.hub.engine, "demo", LATER, Retention()) == 8
    assert outcomes(fleet.hub)["predictions"] == before["predictions"]
    while retention.clean(fleet.hub.engine, "demo", LATER, Retention()):
        pass
    after = outcomes(fleet.hub)
    assert after == before
    assert count(fleet.hub, reports) == count(fleet.hub, feedback) == 2


def test_young_reports_stay_whole(fleet: Simulated) -> None:
    now = BEGIN + 71 * WINDOW + 86_400.0
    assert retention.clean(fleet.hub.engine, "demo", now, Retention()) == 0
    assert count(fleet.hub, reports) == 15


def test_sums_names_of_messages_and_nothing_else_are_forgotten_in_the_end(
    fleet: Simulated,
) -> None:
    retention.clean(fleet.hub.engine, "demo", LATER, Retention())
    retention.forget_names(fleet.hub.engine, time.time())
    assert count(fleet.hub, messages) == 30
    retention.forget_names(fleet.hub.engine, time.time() + 31 * 86_400)
    assert count(fleet.hub, messages) == 0
    retention.clean(fleet.hub.engine, "demo", BEGIN + 500 * 86_400.0, Retention())
    assert count(fleet.hub, reports) == count(fleet.hub, feedback) == 0


def test_shared_rows_are_forgotten_when_the_policy_says(serving: Hub) -> None:
    now = time.time()
    serving.registry.set_policy("demo", "sharing: {samples: true, per_window: 5}\n", "test")
    batch = SampleBatch("demo", "1.0", ((0.0,) * 4,) * 2, (1, 0), (int(now) - 8 * 86_400, int(now)))
    serving.telemetry.ingest(
        EnrolledDevice("d-1", ("demo",)),
        Upload((Message("b", 1, kind_of(batch), to_plain(batch)),)),
    )
    retention.clean(serving.engine, "demo", now, Retention())
    assert count(serving, samples) == 2
    retention.clean(serving.engine, "demo", now, Retention(sample_days=7))
    kept = serving.telemetry.samples("demo")
    assert kept is not None
    assert len(kept) == 1


def test_the_loop_keeps_what_the_policy_says(fleet: Simulated) -> None:
    fleet.hub.policies.apply("demo", "retention:\n  report_days: 20\n", actor="test")
    fleet.hub.telemetry.clean(LATER)
    assert count(fleet.hub, reports) == 15
    fleet.hub.policies.apply("demo", "retention:\n  report_days: 5\n", actor="test")
    fleet.hub.telemetry.clean(LATER + 61)
    assert count(fleet.hub, reports) == 2


@pytest.mark.parametrize("text", ["report_days: 0.1", "report_days: 9\n  sum_days: 3"])
def test_a_retention_that_keeps_nothing_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="expected"):
        parse_policy(f"retention:\n  {text}\n")


def test_monitoring_and_a_season_live_on_hourly_sums(fleet: Simulated) -> None:
    hub = fleet.hub
    retention.clean(hub.engine, "demo", LATER, Retention())
    profile = hub.registry.release("demo", "1.0").profile()
    week_later = BEGIN // HOUR * HOUR + 7 * 86_400
    ask = hub.monitoring._windows.season
    found = ask("demo", "1.0", profile, at=week_later, weeks=8)
    assert [sum(histograms["f0"]) for _, histograms in found] == [3 * 3 * 40]
    assert ask("demo", "1.0", profile, at=week_later + 5 * HOUR, weeks=8) == []


BAD = {
    "more timed than answered": (
        {"latency": {"model": (9, *[0] * 63)}, "predictions": {"model": 8}},
        "9 were timed, but model answered 8",
    ),
    "a window between two others": ({"start": BEGIN + 7}, "multiple of its 60 s"),
    "a window of a month": (
        {"start": 0, "end": 30 * 86_400}, "expected at most 604800 s",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_report_that_cannot_be_is_refused_with_the_reason(serving: Hub, case: str) -> None:
    fleet = Simulated(serving, devices=1)
    changes, said = BAD[case]
    report = fleet.report_of(0)
    window = {n: changes[n] for n in ("start", "end") if n in changes}
    if "start" in window and "end" not in window:
        window["end"] = window["start"] + WINDOW
    others = {n: v for n, v in changes.items() if n not in window}
    wrong = replace(report, window=replace(report.window, **window), **others)
    sent = Upload((Message("b9", 1, "window", to_plain(wrong)),))
    (rejection,) = serving.telemetry.ingest(
        EnrolledDevice(fleet.names[0], ("demo",)), sent
    ).rejected
    assert said in rejection.reason


def test_sums_of_a_thousand_devices_are_those_of_their_parts() -> None:
    body = {
        "observations": 2,
        "features": histogram_text((1, 1, 0)),
        "outputs": histogram_text((2, 0)),
    }
    merged = retention.merged_bodies([{**body, "predictions": {"model": 2}}] * 1_000)
    assert [row.tolist() for row in histograms_of(merged)] == [[1_000, 1_000, 0], [2_000, 0]]
    assert merged["predictions"] == {"model": 2_000}
