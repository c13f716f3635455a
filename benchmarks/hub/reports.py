"""The row of reports: a fleet's window reports over HTTP, each answered once it is on the disk."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.hub.generator import http_request, load
from benchmarks.hub.measured_rows import CONNECTIONS, ScaleRow, load_words
from benchmarks.hub.served import ServedHub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import WindowReport, kind_of
from edge_sdk.contract.profile import FeatureProfile
from edge_sdk.contract.window import LATENCY_BINS, Window
from edge_sdk.model.release import Release
from edge_sdk.telemetry.histogram_codec import encode_histograms
from edge_sdk.telemetry.histograms import HistogramCounts

ROWS: Final = 120
MINUTE: Final = 60
WINDOWS: Final = 5


def reports(hub: ServedHub, data: Path, release: Release, seconds: float) -> ScaleRow:
    """Have devices report, each from a connection of its own, and count what is stored.

    Args:
        hub: with one device a connection, or fewer.
        data: its folder.
        release: that the devices speak of.
        seconds: of load.

    Raises:
        RuntimeError: an answer was no 200, or a report that was answered is not stored.
    """
    bodies = _bodies(release, time.time())
    tokens = [hub.tokens[i % len(hub.tokens)] for i in range(CONNECTIONS)]
    makers = [_maker(token, f"boot-{i}", bodies) for i, token in enumerate(tokens)]
    stored, before = _stored(data), hub.processor_seconds
    found = load(hub.port, makers, seconds)
    each = 1e3 * (hub.processor_seconds - before) / found.answers
    found.check(200)
    if _stored(data) - stored < found.answers:
        raise RuntimeError(f"expected {found.answers} reports, got {_stored(data) - stored}")
    return ScaleRow(
        "report",
        f"durable window report of 30 features, {CONNECTIONS} connections, SQLite",
        "≥ 1,200/s, p99 ≤ 150 ms",
        f"{load_words(found)}; {each:.2f} ms of processor time each",
        found.rate >= 1_200 and found.p99 <= 0.15,
    )


def _maker(token: str, boot: str, bodies: Sequence[str]) -> Callable[[], bytes]:
    """Return a function that gives the next upload of one device."""
    sequence = 0

    def upload() -> bytes:
        nonlocal sequence
        sequence += 1
        named = f'"boot":"{boot}","sequence":{sequence}'
        text = f'{{"messages":[{{{named},{bodies[sequence % len(bodies)]}}}]}}'
        return http_request("POST", "/v1/messages", token, text.encode())

    return upload


def _bodies(release: Release, now: float) -> list[str]:
    """Return kind and body of one report for each of the last windows, as JSON."""
    random, profile = np.random.default_rng(0), release.profile()
    texts = []
    for back in range(1, WINDOWS + 1):
        start = (int(now) // MINUTE - back) * MINUTE
        manifest = release.manifest
        window = Window(manifest.model, manifest.version, start, start + MINUTE)
        latency = np.bincount(random.integers(24, 34, ROWS), minlength=LATENCY_BINS)
        report = WindowReport(
            window, release.profile_digest, {"model": ROWS},
            _histograms(profile.features, random), _histograms(profile.outputs, random), ROWS,
            latency={"model": tuple(latency.tolist())},
        )  # fmt: skip
        texts.append(f'"kind":"{kind_of(report)}","body":{json.dumps(to_plain(report))}')
    return texts


def _histograms(layout: Sequence[FeatureProfile], random: np.random.Generator) -> str:
    histograms = HistogramCounts.zeros(layout)
    for feature, counts in zip(layout, histograms, strict=True):
        counts += np.bincount(random.integers(0, feature.bins, ROWS), minlength=len(counts))
    return encode_histograms(histograms)


def _stored(data: Path) -> int:
    with closing(sqlite3.connect(data / "hub.db")) as db:
        return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])
