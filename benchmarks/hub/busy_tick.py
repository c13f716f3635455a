"""One tick of the loop of a hub with many models, each with a canary and a thousand devices.

Invariants:

* The hub is in this process, without HTTP; its loop is called by hand, with every part of it.
* Reports come in as devices send them; only those who send are put into the tables.
* Time is an argument: a window is reported, and the tick is that of when it and its grace are over.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.hub.in_process import LABELS, logistic_release, report_of
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.seeded import SeededDevice, seed_devices
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.deferred.start import keep_what_is_there
from cloud_hub.experiments.verdict.spec import ExperimentSpec, Guardrails, LatencyGuard
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.manifest import MANIFEST
from edge_sdk.contract.messages import Body, FeedbackReport, Message, Upload, kind_of
from edge_sdk.contract.plan import Plan, assign
from edge_sdk.contract.window import Window
from edge_sdk.model.release import Release

MODELS: Final = 100
DEVICES: Final = 1_000
WINDOW: Final = 60
GRACE: Final = 200
THREADS: Final = 8
KINDS: Final = 64
"""Different reports of an arm: devices that all said the same would be a drift."""
VERSIONS: Final = ("1.0", "1.1")
WHAT: Final = "all parts of the loop for 100 models × 1,000 devices, each model with a canary"
GOAL: Final = "≤ 5 s on one core; work grows with what changed"


@dataclass(frozen=True)
class CanaryFleet:
    """A model, its releases by version, its plan with the canary, and its devices."""

    model: str
    releases: dict[str, Release]
    plan: Plan
    devices: Sequence[SeededDevice]


def ticking(bench: Bench) -> list[ScaleRow]:
    """Tick with news of every model, with none, and with news of one."""
    models, devices = (3, 20) if bench.quick else (MODELS, DEVICES)
    settings = Settings(bench.folder / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        fleets = _fleets(hub, bench.folder, models, devices)
        begin = (int(time.time()) // WINDOW + 1) * WINDOW  # no device had its arm before
        # The first round looks at everything there is; what is reported then is news to the next.
        _round(hub, begin)
        keep_what_is_there()  # as a hub that serves does once it has started
        taking = time.process_time()
        for fleet in fleets:
            _report(hub, fleet, begin, 1)
        taking = (time.process_time() - taking) / (models * devices)
        full = _round(hub, begin + WINDOW + GRACE)
        idle = _round(hub, begin + 2 * WINDOW + GRACE)
        _report(hub, fleets[0], begin + 2 * WINDOW, 2)
        one = _round(hub, begin + 3 * WINDOW + GRACE)
    finally:
        hub.close()
    whole = {name: sum(tick[name] for tick in full) for name in full[0]}
    slowest = sorted(whole, key=lambda name: -whole[name])[:3]
    longest = max(sum(tick.values()) for tick in full)
    seconds = [sum(sum(tick.values()) for tick in each) for each in (full, idle, one)]
    found = (
        f"{seconds[0]:.1f} s of processor time for a window of every device ("
        + ", ".join(f"{name} {whole[name]:.1f} s" for name in slowest)
        + f") in {len(full)} ticks, none longer than {longest:.1f} s; {seconds[1]:.1f} s without "
        f"news, {seconds[2]:.1f} s with news of one model; a device's upload took "
        f"{1e3 * taking:.1f} ms"
    )
    return [ScaleRow("tick", WHAT, GOAL, found, seconds[0] <= 5)]


def _fleets(hub: Hub, folder: Path, models: int, devices: int) -> list[CanaryFleet]:
    made = [logistic_release(folder, version) for version in VERSIONS]
    fleets = []
    for name in (f"m{number}" for number in range(models)):
        releases = {r.manifest.version: _renamed(r, name, folder) for r in made}
        for release in releases.values():
            hub.registry.publish(release, actor="benchmark", override="benchmark")
        hub.plans.promote(name, VERSIONS[0], actor="benchmark", reason="first")
        members = seed_devices(hub, name, devices)
        guards = Guardrails(latency=LatencyGuard())
        spec = ExperimentSpec(
            name, "canary", candidate=VERSIONS[1], steps=(0.5, 1.0), soak_seconds=30 * 86_400,
            guardrails=guards,
        )  # fmt: skip
        hub.experiments.run(spec, actor="benchmark")
        plan = hub.plans.current(name)
        assert plan is not None
        fleets.append(CanaryFleet(name, releases, plan, members))
    return fleets


def _renamed(release: Release, name: str, folder: Path) -> Release:
    """Return the same release for another model, its files linked."""
    target = folder / "made" / f"{name}-{release.manifest.version}"
    target.mkdir(parents=True)
    for path in release.folder.iterdir():
        (target / path.name).hardlink_to(path)
    (target / MANIFEST).unlink()
    (target / MANIFEST).write_bytes(replace(release.manifest, model=name).to_json())
    return Release.open(target)


def _report(hub: Hub, fleet: CanaryFleet, start: int, number: int) -> None:
    """Have every device of a fleet report one window, and its labels."""
    random = np.random.default_rng(number)
    drawn: dict[str, list[list[tuple[Body, Any]]]] = {}
    uploads = []
    for device in fleet.devices:
        seat = assign(fleet.plan, device.name, {})
        arm = seat.arm or ""
        if arm not in drawn:
            version = seat.release.version
            window = Window(fleet.model, version, start, start + WINDOW, seat.experiment, seat.arm)
            drawn[arm] = [_bodies(fleet.releases[version], window, random) for _ in range(KINDS)]
        bodies = drawn[arm][int(random.integers(KINDS))]
        messages = tuple(
            Message("boot", 2 * number + place, kind_of(body), plain)
            for place, (body, plain) in enumerate(bodies)
        )
        uploads.append((EnrolledDevice(device.name, (fleet.model,)), Upload(messages)))
    # Together, so that one commit does for many, as over HTTP.
    with ThreadPoolExecutor(THREADS) as pool:
        for reply in pool.map(lambda upload: hub.telemetry.ingest(*upload), uploads):
            if reply.rejected:
                raise RuntimeError(f"expected every report to be taken, got {reply.rejected}")


def _bodies(
    release: Release, window: Window, random: np.random.Generator
) -> list[tuple[Body, Any]]:
    """Return a report and its labels, as they are and as plain JSON."""
    right = int(random.binomial(LABELS, 0.95))
    labels = FeedbackReport(window, LABELS, right, LABELS, right)
    return [(each, to_plain(each)) for each in (report_of(release, window, random), labels)]


def _round(hub: Hub, now: float) -> list[dict[str, float]]:
    """Tick until every model had its turn; return the processor seconds by part, for each tick."""
    ticks = [_tick(hub, now)]
    while hub.experiments.turns.under_way or hub.monitoring.turns.under_way:
        ticks.append(_tick(hub, now + len(ticks)))
    return ticks


def _tick(hub: Hub, now: float) -> dict[str, float]:
    """Return the seconds of processor time that each part of the loop took."""
    took = {}
    for name, part in hub.loop.parts.items():
        began = time.process_time()
        part(float(now))
        took[name] = time.process_time() - began
    return took
