"""A fleet that comes back at once, as after a power cut, and what follows for larger ones.

Each virtual device asks for the timestamp without having one, for the metadata that it names,
checks in, downloads plan, manifest and a model of a megabyte, and reports a window. What a device
costs the hub is the same whoever else comes; so the time until all are back is a straight line
beyond the first thousands, and its slope is what one more device costs.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.hub.generator import http_request
from benchmarks.hub.reports import report_bodies
from benchmarks.hub.returning import Homecoming, come_back
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.seeded import SeededDevice, seed_devices
from benchmarks.hub.served import ServedHub, database_options, served
from cloud_hub.hub import initialise, open_hub
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, ReportedState
from edge_sdk.model.release import Release
from tests.edge.builders import make_release

FLEETS: Final = (1_000, 10_000, 100_000)
MILLION: Final = 1_000_000
MODEL: Final = "demo"
BYTES: Final = 1_000_000
LOOK_SECONDS: Final = 0.5
GIGABIT: Final = 1.25e8
WHAT: Final = "devices come back at once, check in, fetch a 1 MB model, report"
GOAL: Final = "no 5xx, bounded memory, time"


def storms(bench: Bench) -> list[ScaleRow]:
    """Have fleets come back, a hub for each; and the arithmetic for a million devices."""
    rows = []
    for count in (50, 200) if bench.quick else FLEETS:
        folder = bench.folder / str(count)
        folder.mkdir()
        rows.append(come_home(folder, count))
    return [*rows, _arithmetic(rows[-2:])]


def come_home(folder: Path, count: int, database: str | None = None) -> ScaleRow:
    """Have a fleet come back to a hub of its own.

    Args:
        folder: empty; for the hub.
        count: of devices.
        database: URL of its tables; default SQLite.
    """
    data = folder / "hub"
    release = make_release(folder / "made", ballast=_ballast())
    settings = Settings(data, database, tick_seconds=0)
    paths, devices = _prepared(settings, release, count)
    bodies = report_bodies(release, time.time())
    with served(data, [devices[0].credential], database_options(database)) as hub:
        idle = hub.memory
        before = hub.processor_seconds
        makers = [_requests(device, paths, bodies[0]) for device in devices]
        with _watched(hub) as memory:
            found = come_back(hub.port, makers, len(paths) + 2)
        used = hub.processor_seconds - before
    return _row(found, max(memory), idle, used)


def _row(found: Homecoming, memory: float, idle: float, used: float) -> ScaleRow:
    done = np.quantile(found.done, (0.5, 0.99))
    each = 1e3 * used / found.devices
    words = (
        f"{found.seconds:.0f} s until all are back (half after {done[0]:.0f} s, 99% after "
        f"{done[1]:.0f} s); {found.failed} errors, {found.later} answers 503 with Retry-After, "
        f"{_broken(found)}, {found.again} requests sent again on a new one; "
        f"memory {idle:.0f} → {memory:.0f} MB at most; "
        f"{found.bytes / found.seconds / 1e6:.0f} MB/s; {each:.1f} ms of processor time a device"
    )
    figures = {
        "devices": found.devices, "seconds": found.seconds, "memory": memory, "each": each,
        "bytes": found.bytes / found.devices,
    }  # fmt: skip
    name = f"storm {found.devices}"
    return ScaleRow(
        name, f"{found.devices:,} {WHAT}", GOAL, words, not found.failed and not found.broken,
        figures,
    )  # fmt: skip


def _broken(found: Homecoming) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.failures.most_common(3))
    return f"{found.broken} broken connections" + (f" ({kinds})" if kinds else "")


def _arithmetic(last: Sequence[ScaleRow]) -> ScaleRow:
    """Return what the slope between the last two fleets says of a million devices."""
    small, large = (row.figures for row in last)
    slope = (large["seconds"] - small["seconds"]) / (large["devices"] - small["devices"])
    seconds = large["seconds"] + slope * (MILLION - large["devices"])
    line = MILLION * large["bytes"] / GIGABIT
    words = (
        f"about {seconds / 60:.0f} min from one core, {1e3 * slope:.1f} ms a device; on a line of "
        f"1 Gbit/s the bytes alone take {line / 3600:.1f} h, which a bucket or a CDN takes off it"
    )
    figures = {"devices": MILLION, "seconds": seconds}
    return ScaleRow("storm million", f"10⁶ {WHAT}: arithmetic", "", words, None, figures)


def _ballast() -> dict[str, NDArray[np.float32]]:
    floats = np.random.default_rng(0).normal(size=BYTES // 4)
    return {"w": floats.astype(np.float32)}


def _prepared(
    settings: Settings, release: Release, count: int
) -> tuple[list[str], tuple[SeededDevice, ...]]:
    """Return the paths that a device asks for, the timestamp first, and the devices."""
    initialise(settings)
    hub = open_hub(settings)
    try:
        hub.registry.publish(release, actor="benchmark", override="benchmark")
        hub.plans.promote(MODEL, release.manifest.version, actor="benchmark", reason="first")
        repository = hub.repository
        names = ["timestamp.json"]
        stamp = json.loads(repository.files.raw("timestamp.json"))["signed"]["meta"]
        snapshot = f"{stamp['snapshot.json']['version']}.snapshot.json"
        listed = json.loads(repository.files.raw(snapshot))["signed"]["meta"]
        names += [
            snapshot,
            *(f"{listed[n]['version']}.{n}" for n in ("releases.json", "plans.json")),
        ]
        targets = [
            name for name in repository.targets.list()
            if name.endswith((".onnx", "manifest.json")) or name.startswith("plans/")
        ]  # fmt: skip
        devices = seed_devices(hub, MODEL, count)
    finally:
        hub.close()
    return [f"/v1/metadata/{n}" for n in names] + [f"/v1/targets/{n}" for n in targets], devices


def _requests(device: SeededDevice, paths: Sequence[str], body: str) -> Callable[[int], bytes]:
    """Return the requests of a device by step: the check-in comes second, the report last."""
    state = CheckIn({MODEL: ReportedState("1.0", 1)}, interval=60.0)

    def make(step: int) -> bytes:
        if step == 1:
            text = json.dumps(to_plain(state)).encode()
            return http_request("POST", "/v1/checkin", device.credential, text)
        if step == len(paths) + 1:
            text = f'{{"messages":[{{"boot":"b","sequence":1,{body}}}]}}'.encode()
            return http_request("POST", "/v1/messages", device.credential, text)
        return http_request("GET", paths[max(0, step - 1)], device.credential)

    return make


@contextmanager
def _watched(hub: ServedHub) -> Iterator[list[float]]:
    """Note the hub's memory again and again, in MB."""
    seen, over = [hub.memory], threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            seen.append(hub.memory)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
