"""A day of a thousand devices, and how long a hub takes to answer questions about it."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from benchmarks.hub.in_process import logistic_release, report_of
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.seeded import seed_devices
from benchmarks.hub.served import ServedHub, served
from cloud_hub.api.token_files import ADMIN_FILE
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, Upload, kind_of
from edge_sdk.contract.window import Window
from edge_sdk.model.release import Release

DEVICES: Final = 1_000
WINDOW: Final = 300
WINDOWS: Final = 288
DAY: Final = 86_400.0
AT_ONCE: Final = 48
THREADS: Final = 8
MODEL: Final = "fleet"
ASKED: Final = 20
WHAT: Final = "telemetry of a day of 1,000 devices, windows of five minutes, 30 features"
GOAL: Final = "≤ 100 ms"


def asking(bench: Bench) -> list[ScaleRow]:
    """Take the day in without HTTP, then ask over HTTP, one question after the other."""
    devices, windows = (5, 24) if bench.quick else (DEVICES, WINDOWS)
    data, settings = bench.folder / "hub", Settings(bench.folder / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        release = logistic_release(bench.folder, "1.0")
        hub.registry.publish(release, actor="benchmark", override="benchmark")
        hub.plans.promote(MODEL, "1.0", actor="benchmark", reason="first")
        members = seed_devices(hub, MODEL, devices, ago=2 * DAY)
        messages = _day(release, windows)
        # Together, so that one commit does for many, as over HTTP.
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda member: _take(hub, member.name, messages), members))
    finally:
        hub.close()
    with served(data, [members[0].credential]) as serving:
        admin = (data / ADMIN_FILE).read_text().strip()
        paths = {
            "windows": f"/v1/models/{MODEL}/telemetry",
            "histograms": f"/v1/models/{MODEL}/histograms?version=1.0",
            "monitoring": f"/v1/models/{MODEL}/monitor",
        }
        took = {name: _asked(serving, admin, path) for name, path in paths.items()}
    found = ", ".join(
        f"{name} {1e3 * np.median(s):.0f} ms (p95 {1e3 * np.quantile(s, 0.95):.0f})"
        for name, s in took.items()
    )
    met = all(np.median(seconds) <= 0.1 for seconds in took.values())
    said = f"{devices * windows:,} reports: {found}"
    return [ScaleRow("day", WHAT, GOAL, said, met)]


def _day(release: Release, windows: int) -> list[tuple[str, Any]]:
    """Return kind and body of a report for each window of the day before now."""
    random, end = np.random.default_rng(0), int(time.time()) // WINDOW * WINDOW
    bodies = []
    for start in range(end - windows * WINDOW, end, WINDOW):
        report = report_of(release, Window(MODEL, "1.0", start, start + WINDOW), random)
        bodies.append((kind_of(report), to_plain(report)))
    return bodies


def _take(hub: Hub, device: str, bodies: Sequence[tuple[str, Any]]) -> None:
    messages = [Message("b", place + 1, *body) for place, body in enumerate(bodies)]
    for first in range(0, len(messages), AT_ONCE):
        upload = Upload(tuple(messages[first : first + AT_ONCE]))
        reply = hub.telemetry.ingest(EnrolledDevice(device, (MODEL,)), upload)
        if reply.accepted != len(upload.messages):
            raise RuntimeError(f"expected every report to be taken, got {reply.rejected[:1]}")


def _asked(hub: ServedHub, token: str, path: str) -> list[float]:
    took = []
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(ASKED):
        request = urllib.request.Request(f"http://127.0.0.1:{hub.port}{path}", headers=headers)
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()
        took.append(time.perf_counter() - began)
    return took
