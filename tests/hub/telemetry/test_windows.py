"""Windows over all devices: latency quantiles, the newest of many, and the route's filters."""

from __future__ import annotations

import time

import numpy as np
import pytest
import requests
from sqlalchemy import delete, update

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from cloud_hub.telemetry.fleet_windows import FleetWindows, StoredFeatureUse
from cloud_hub.telemetry.tables import reports, window_sums
from cloud_hub.telemetry.windows import latency_quantiles
from edge_sdk.contract.messages import UpdateEvent
from edge_sdk.contract.window import LATENCY_BINS, Window
from tests.conftest import Publish
from tests.hub.telemetry.test_telemetry import NOW, WINDOW, report, upload
from tests.servers import HubProcess
from tests.waiting import PATIENCE


def histogram(micros: np.ndarray) -> np.ndarray:
    bins = np.clip(np.floor(4 * np.log2(np.maximum(micros, 1))), 0, LATENCY_BINS - 1)
    return np.bincount(bins.astype(int), minlength=LATENCY_BINS)


def test_quantiles_are_at_most_a_bin_above_the_true_ones() -> None:
    micros = np.random.default_rng(0).lognormal(4, 1, 100_000)
    found = latency_quantiles(histogram(micros))
    assert found is not None
    for value, q in ((found.p50, 0.5), (found.p95, 0.95), (found.p99, 0.99)):
        assert 1 <= value / np.quantile(micros, q) <= 1.2


def test_quantiles_of_nothing_are_none_and_of_very_slow_ones_the_last_edge() -> None:
    assert latency_quantiles(np.zeros(LATENCY_BINS, np.int64)) is None
    slow = latency_quantiles(histogram(np.full(10, 1e9)))
    assert slow is not None
    assert slow.p50 == 2 ** (63 / 4)


def test_a_window_has_the_quantiles_of_all_its_sources(serving: Hub) -> None:
    fast, slow = [0] * LATENCY_BINS, [0] * LATENCY_BINS
    fast[8], slow[40] = 8, 2
    timed = report(serving, latency={"model": tuple(fast), "pack": tuple(slow)})
    serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), upload(timed))
    (window,) = serving.telemetry.windows("demo")
    assert window.latency_us is not None
    assert (window.latency_us.p50, window.latency_us.p99) == (2 ** (9 / 4), 2 ** (41 / 4))


def test_the_use_of_stored_features_is_the_same_from_sums_and_from_reports_of_an_older_hub(
    serving: Hub,
) -> None:
    before = Window("demo", "1.0", WINDOW.start - 120, WINDOW.start - 60)
    bodies = (
        report(serving, window=before, stale=9),
        report(serving, stale=3, defaulted=2),
        report(serving, stale=1),
    )
    serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), upload(*bodies))
    windows = FleetWindows(serving.engine)
    summed = windows.stored_features("demo", "1.0", after=WINDOW.start)
    made = sum(report(serving).predictions.values())
    assert summed == StoredFeatureUse(2 * made, stale=4, defaulted=2)
    with serving.engine.begin() as db:  # as an older hub would have left them
        db.execute(update(reports).values(summed=0))
        db.execute(delete(window_sums))
    assert windows.stored_features("demo", "1.0", after=WINDOW.start) == summed


def test_a_limit_gives_the_newest_windows_and_events(serving: Hub) -> None:
    older = Window("demo", "1.0", WINDOW.start - 120, WINDOW.start - 60)
    events = [UpdateEvent("demo", "activated", v, NOW) for v in ("1.0", "1.1")]
    bodies = (report(serving), report(serving, window=older), *events)
    serving.telemetry.ingest(EnrolledDevice("d-1", ("demo",)), upload(*bodies))
    assert len(serving.telemetry.windows("demo")) == 2
    assert [w.start for w in serving.telemetry.windows("demo", limit=1)] == [WINDOW.start]
    assert [e.version for e in serving.telemetry.events("demo", limit=1)] == ["1.1"]
    assert [w.start for w in serving.telemetry.windows("demo", since=WINDOW.start)] == [
        WINDOW.start
    ]


REFUSED = {
    "a time before 1970": "since=-1",
    "a time that is none": "since=yesterday",
    "milliseconds for seconds": f"since={time.time() * 1_000:.0f}",
    "no rows": "limit=0",
    "too many rows": "limit=1000000",
    "an infinite time": "seconds=inf",
}


def test_the_route_takes_filters_and_refuses_those_that_mean_nothing(
    hub: HubProcess, publish: Publish
) -> None:
    publish("filtered")
    answer = hub.admin.get("models/filtered/telemetry", since=time.time() - 60, limit=5)
    assert answer == {"windows": [], "events": [], "devices": {}}
    token = (hub.data / "admin.token").read_text()
    for case, query in REFUSED.items():
        response = requests.get(
            f"{hub.url}/v1/models/filtered/telemetry?{query}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )
        assert response.status_code == 422, case


def test_the_bins_of_the_contract_are_those_of_the_quantiles() -> None:
    """Bin ``i`` ends at ``2 ** ((i + 1) / 4)`` microseconds, or the quantiles are others."""
    one = np.zeros(LATENCY_BINS, np.int64)
    one[20] = 1
    found = latency_quantiles(one)
    assert found is not None
    assert found.p50 == pytest.approx(2 ** (21 / 4))
