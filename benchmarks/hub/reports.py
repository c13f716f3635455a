"""The row of reports: a fleet's window reports over HTTP, each answered once it is on the disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from sqlalchemy import create_engine, text

from benchmarks.hub.generator import LoadResult, http_request, load
from benchmarks.hub.in_process import report_of
from benchmarks.hub.measured_rows import CONNECTIONS, load_words
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import MODEL, ServedHub, served_hub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import kind_of
from edge_sdk.contract.window import Window
from edge_sdk.model.release import Release

MINUTE: Final = 60
WINDOWS: Final = 5


def on_sqlite(bench: Bench) -> list[ScaleRow]:
    """Have devices report to a hub with SQLite."""
    with served_hub(bench, devices=CONNECTIONS) as hub:
        url = f"sqlite:///{bench.folder / 'hub' / 'hub.db'}"
        found, each = reports(hub, url, Release.open(bench.folder / MODEL), bench.seconds)
    return [report_row("report", "SQLite", found, each)]


def report_row(name: str, where: str, found: LoadResult, each: float) -> ScaleRow:
    """Return a row of reports.

    Args:
        name: of the row.
        where: they are stored.
        found: what came back.
        each: milliseconds of the hub's processor time for one.
    """
    return ScaleRow(
        name,
        f"durable window report of 30 features, {CONNECTIONS} connections, {where}",
        "≥ 1,200/s, p99 ≤ 150 ms",
        f"{load_words(found)}; {each:.2f} ms of processor time each",
        found.rate >= 1_200 and found.p99 <= 0.15,
    )


def reports(
    hub: ServedHub,
    database: str,
    release: Release,
    seconds: float,
    connections: int = CONNECTIONS,
) -> tuple[LoadResult, float]:
    """Have devices report, each from a connection of its own, and count what is stored.

    Args:
        hub: with one device a connection, or fewer.
        database: URL of its tables.
        release: that the devices speak of.
        seconds: of load.
        connections: that report at the same time.

    Returns:
        What came back, and milliseconds of the hub's processor time for one report.

    Raises:
        RuntimeError: an answer was no 200, or a report that was answered is not stored.
    """
    bodies = report_bodies(release, time.time())
    tokens = [hub.tokens[i % len(hub.tokens)] for i in range(connections)]
    makers = [_maker(token, f"boot-{i}", bodies) for i, token in enumerate(tokens)]
    stored, before = _stored(database), hub.processor_seconds
    found = load(hub.port, makers, seconds)
    each = 1e3 * (hub.processor_seconds - before) / found.answers
    found.check(200)
    now = _stored(database)
    if now - stored < found.answers:
        raise RuntimeError(f"expected {found.answers} reports, got {now - stored}")
    return found, each


def _maker(token: str, boot: str, bodies: Sequence[str]) -> Callable[[], bytes]:
    """Return a function that gives the next upload of one device."""
    sequence = 0

    def next_upload() -> bytes:
        nonlocal sequence
        sequence += 1
        named = f'"boot":"{boot}","sequence":{sequence}'
        upload = f'{{"messages":[{{{named},{bodies[sequence % len(bodies)]}}}]}}'
        return http_request("POST", "/v1/messages", token, upload.encode())

    return next_upload


def report_bodies(release: Release, now: float) -> list[str]:
    """Return kind and body of one report for each of the last windows, as JSON."""
    random = np.random.default_rng(0)
    texts = []
    for back in range(1, WINDOWS + 1):
        start = (int(now) // MINUTE - back) * MINUTE
        manifest = release.manifest
        window = Window(manifest.model, manifest.version, start, start + MINUTE)
        report = report_of(release, window, random)
        texts.append(f'"kind":"{kind_of(report)}","body":{json.dumps(to_plain(report))}')
    return texts


def _stored(database: str) -> int:
    engine = create_engine(database)
    try:
        with engine.connect() as db:
            return int(db.execute(text("SELECT count(*) FROM messages")).scalar_one())
    finally:
        engine.dispose()
