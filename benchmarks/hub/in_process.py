"""Cost of a fleet to its hub: taking reports in, and evaluating them.

Invariants:

* A hub in this process with SQLite, as ``edge-hub serve`` has it, without HTTP; its loop is called
  by hand.
* Devices send what the runtime sends: a window report of 30 features and a feedback report, in one
  upload. Who is on which arm is decided by the plan.
* Before each look everybody's next window has come in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.models import logistic_regression
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.experiments.verdict.spec import ExperimentSpec, Guardrails, LatencyGuard
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.settings import Settings
from converters import convert
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow, Timing
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    Message,
    Upload,
    WindowReport,
    kind_of,
)
from edge_sdk.contract.plan import assign
from edge_sdk.contract.profile import FeatureProfile
from edge_sdk.contract.window import LATENCY_BINS, Window
from edge_sdk.hub.device_key import DeviceKey
from edge_sdk.model.release import Release
from edge_sdk.telemetry.histogram_codec import encode_histograms
from edge_sdk.telemetry.histograms import HistogramCounts

MODEL: Final = "fleet"
EVERY: Final = 300
"""Seconds between two uploads of a device, as it comes."""
WINDOW: Final = 10
"""Here: so that an hour's worth is not of tomorrow."""
ROWS: Final = 120
LABELS: Final = 60
WINDOWS: Final = 12
EARLY: Final = 2
CAPACITY: Final = Goal(
    9, "devices with windows of five minutes whose reports one core takes in", 10_000, "", True
)
STEADY: Final = Goal(
    9, f"a look at a canary after {WINDOWS} windows, against after {EARLY}", 1.5, "x"
)
Tell = Callable[[str], None]


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Run a canary on a thousand devices, for an hour of windows.

    Args:
        folder: for the hub and its releases.
        effort: fewer devices unless it is the full one.
        tell: called with a line for each window.
    """
    devices = 1_000 if effort is FULL else 40
    releases = {version: logistic_release(folder, version) for version in ("1.0", "1.1")}
    settings = Settings(folder / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        fleet = Fleet(hub, releases, devices)
        uploads, looks, watches = [], [], []
        for number in range(WINDOWS):
            tell(f"window {number + 1} of {WINDOWS} of {devices:,} devices")
            uploads += fleet.window(number)
            looks.append(_seconds(hub.experiments.tick, fleet.after(number)))
            watches.append(_seconds(hub.monitoring.tick, fleet.after(number)))
    finally:
        hub.close()
    p50, p90, p99 = (float(q) * 1e6 for q in np.percentile(uploads, (50, 90, 99)))
    steady = float(np.median(looks[-EARLY:]) / np.median(looks[:EARLY]))
    return Findings(
        (Timing("one window of a device, taken in", "hub", p50, p90, p99, len(uploads)),),
        (GoalRow.of(CAPACITY, EVERY / float(np.mean(uploads))), GoalRow.of(STEADY, steady)),
        {
            "devices": devices,
            "a look at the canary, ms": 1e3 * float(np.median(looks)),
            "monitoring of a window, ms": 1e3 * sum(watches) / WINDOWS,
        },
    )


class Fleet:
    """Devices on both arms of a canary that does not end."""

    def __init__(self, hub: Hub, releases: dict[str, Release], count: int) -> None:
        self._hub, self._releases = hub, releases
        for release in releases.values():
            hub.registry.publish(release, actor="benchmark", override="benchmark")
        hub.plans.promote(MODEL, "1.0", actor="benchmark", reason="first")
        token = hub.fleet.new_token(MODEL, uses=count, seconds=3_600, actor="benchmark")
        requests = (DeviceKey.generate().enrolment((MODEL,), token) for _ in range(count))
        self.names = [hub.fleet.enrol(token, request).device for request in requests]
        guards = Guardrails(latency=LatencyGuard())
        spec = ExperimentSpec(
            MODEL, "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=30 * 86_400,
            guardrails=guards,
        )  # fmt: skip
        hub.experiments.run(spec, actor="benchmark")
        plan = hub.plans.current(MODEL)
        assert plan is not None
        self._assignments = [assign(plan, name, {}) for name in self.names]
        self._begin = (int(time.time()) // WINDOW + 1) * WINDOW
        self._random = np.random.default_rng(0)

    def window(self, number: int) -> list[float]:
        """Upload a window of every device; return the seconds that each upload took."""
        return [self._upload(i, number) for i in range(len(self.names))]

    def after(self, number: int) -> float:
        """Return the time at which window ``number`` and its grace are over."""
        return float(self._begin + (number + 1) * WINDOW + 200)

    def _upload(self, device: int, number: int) -> float:
        assignment = self._assignments[device]
        start = self._begin + number * WINDOW
        window = Window(
            MODEL,
            assignment.release.version,
            start,
            start + WINDOW,
            assignment.experiment,
            assignment.arm,
        )
        bodies: tuple[Body, ...] = (
            self._report(window), FeedbackReport(window, LABELS, 57, LABELS, 57)
        )  # fmt: skip
        messages = [
            Message("boot", 2 * number + i + 1, kind_of(body), to_plain(body))
            for i, body in enumerate(bodies)
        ]
        began = time.perf_counter()
        reply = self._hub.telemetry.ingest(
            EnrolledDevice(self.names[device], (MODEL,)), Upload(tuple(messages))
        )
        took = time.perf_counter() - began
        assert reply.accepted == len(bodies), reply.rejected
        return took

    def _report(self, window: Window) -> WindowReport:
        return report_of(self._releases[window.version], window, self._random)


def report_of(release: Release, window: Window, random: np.random.Generator) -> WindowReport:
    """Return a report of :data:`ROWS` predictions, as a device makes it.

    Args:
        release: that answered.
        window: of the report.
        random: draws its counts.
    """
    profile = release.profile()
    features, outputs = (
        _histograms(layout, random) for layout in (profile.features, profile.outputs)
    )
    latency = np.bincount(random.integers(24, 34, ROWS), minlength=LATENCY_BINS)
    return WindowReport(
        window, release.profile_digest, {"model": ROWS}, features, outputs, ROWS,
        latency={"model": tuple(latency.tolist())},
    )  # fmt: skip


def _histograms(layout: Sequence[FeatureProfile], random: np.random.Generator) -> str:
    histograms = HistogramCounts.zeros(layout)
    for feature, counts in zip(layout, histograms, strict=True):
        counts += np.bincount(random.integers(0, feature.bins, ROWS), minlength=len(counts))
    return encode_histograms(histograms)


def logistic_release(folder: Path, version: str) -> Release:
    """Return a release of a logistic regression of 30 features; ``version`` is its name."""
    model, X, y = logistic_regression()
    out = folder / version
    return convert(model, X, y, name=MODEL, version=version, out=out, variants=("float32",))


def _seconds(work: Callable[[float], object], now: float) -> float:
    began = time.perf_counter()
    work(now)
    return time.perf_counter() - began
