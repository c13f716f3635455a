"""Pages for people at a thousand devices and ten thousand versions: processor time and size.

A hub in this process, whose devices have reported six windows of a canary that runs; each page is
asked as a browser does, once before (a hub that has been looked at) and then so often that the
median stands. What a page takes on the first look after two seconds, in which nobody looked, is
measured too: the fleet is then read anew.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import insert

from benchmarks.hub.in_process import MODEL, Fleet, logistic_release
from benchmarks.hub.scale_row import Bench, ScaleRow
from cloud_hub.hub import Hub, initialise, open_hub
from cloud_hub.pages.fleet_reading import forget_fleet
from cloud_hub.registry.tables import versions
from cloud_hub.settings import Settings
from tests.hub.pages.visitor import Visitor

DEVICES: Final = 1_000
VERSIONS: Final = 10_000
WINDOWS: Final = 6
TIMES: Final = 5
LIMIT_MS: Final = 200.0
LIMIT_BYTES: Final = 100 * 1024
WHAT: Final = f"pages for people at {DEVICES:,} devices, {VERSIONS:,} versions: the slowest"
GOAL: Final = "≤ 200 ms of processor each, ≤ 100 KB"


class LookedAt(NamedTuple):
    """A page: its path, milliseconds of the processor (usual, and first look), bytes."""

    path: str
    usual_ms: float
    first_ms: float
    size: int


def looking(bench: Bench) -> list[ScaleRow]:
    """Look at every page."""
    devices, count = (40, 200) if bench.quick else (DEVICES, VERSIONS)
    releases = {version: logistic_release(bench.folder, version) for version in ("1.0", "1.1")}
    settings = Settings(bench.folder / "hub", tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        fleet = Fleet(hub, releases, devices)
        for number in range(WINDOWS):
            fleet.window(number)
            hub.experiments.tick(fleet.after(number))
            hub.monitoring.tick(fleet.after(number))
        _add_versions(hub, count)
        visitor = Visitor(hub).sign_in()
        pages = [_looked(visitor, path) for path in paths(hub, fleet.names[0])]
    finally:
        hub.close()
    for page in sorted(pages, key=lambda page: -page.first_ms):
        print(
            f"  {page.usual_ms:6.1f} ms, first {page.first_ms:6.1f} ms, {page.size / 1024:6.1f} KB"
            f"  {page.path}",
            flush=True,
        )
    slowest = max(pages, key=lambda page: page.first_ms)
    largest = max(pages, key=lambda page: page.size)
    median = float(np.median([page.usual_ms for page in pages]))
    found = (
        f"{slowest.path.replace(fleet.names[0], 'D')} {slowest.usual_ms:.0f} ms, on the first look "
        f"{slowest.first_ms:.0f} ms; of {len(pages)} pages the median {median:.0f} ms; the largest "
        f"{largest.size / 1024:.0f} KB"
    )
    met = slowest.first_ms <= LIMIT_MS and largest.size <= LIMIT_BYTES
    return [ScaleRow("pages", WHAT, GOAL, found, met)]


def paths(hub: Hub, device: str) -> list[str]:
    """Return the address of each page; of those that exist many times one."""
    experiment = hub.experiments.records(MODEL)[-1].id
    of_model = (
        "", "/versions/1.1", "/compare?before=1.0&after=1.1", "/experiments",
        f"/experiments/{experiment}", "/monitoring", "/triggers", "/runs", "/packs",
        "/promote?version=1.1", "/rollback",
    )  # fmt: skip
    return [
        "/", "/fleet", "/fleet?q=health:late", "/models", "/audit", "/people",
        f"/devices/{device}", *(f"/models/{MODEL}{rest}" for rest in of_model),
    ]  # fmt: skip


def _looked(visitor: Visitor, path: str) -> LookedAt:
    visitor.page(path)
    usual: list[float] = []
    first: list[float] = []
    for took, again in ((usual, False), (first, True)):
        for _ in range(TIMES):
            if again:
                forget_fleet(_Asked(visitor.app))  # type: ignore[arg-type]
            began = time.process_time()
            page = visitor.page(path)
            took.append(1e3 * (time.process_time() - began))
    return LookedAt(path, float(np.median(usual)), float(np.median(first)), len(page.encode()))


class _Asked(NamedTuple):
    """As much of a request as reading the fleet asks for."""

    app: object


def _add_versions(hub: Hub, count: int) -> None:
    """Add versions that look as if a publisher had uploaded them, older than what serves."""
    record = hub.registry.version(MODEL, "1.0")
    plain = {**vars(record), "status": "published"}
    rows = [
        {**plain, "version": f"0.{n}", "parent": f"0.{n - 1}" if n else None,
         "published_at": 1e9 + n}
        for n in range(count)
    ]  # fmt: skip
    with hub.engine.begin() as db:
        db.execute(insert(versions), rows)
