"""Rows of one hub over HTTP: how soon it is there, polls, answers of the cascade."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Final

import numpy as np

from benchmarks.hub.generator import LoadResult, http_request, load
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import IDLE_SECONDS, MODEL, ServedHub, cores, served, served_hub

CONNECTIONS: Final = 64


def starting(bench: Bench) -> list[ScaleRow]:
    """Return how soon a hub was ready, and what it takes when nobody asks it.

    The first start of a checkout compiles every module, which an installation has done.
    """
    with served_hub(bench, devices=1) as first:
        tokens = first.tokens
    with served(bench.folder / "hub", tokens) as hub:
        time.sleep(IDLE_SECONDS)
        ready, memory = hub.ready, hub.memory
    return [
        ScaleRow("ready", "ready after its start", "≤ 2 s", f"{ready:.1f} s", ready <= 2),
        ScaleRow("memory", "idle memory", "≤ 110 MB", f"{memory:.0f} MB", memory <= 110),
    ]


def polling(bench: Bench) -> list[ScaleRow]:
    """Poll with what devices have already: 304."""
    with served_hub(bench, devices=CONNECTIONS) as hub:
        return [polls(hub, bench.seconds)]


def asking(bench: Bench) -> list[ScaleRow]:
    """Ask for answers of the cloud line, from many connections and from one."""
    with served_hub(bench, devices=CONNECTIONS) as hub:
        return [cascade(hub, bench.seconds), lone_cascade(hub, bench.seconds)]


def polls(hub: ServedHub, seconds: float) -> ScaleRow:
    """Poll with what devices have already: 304."""
    before = hub.processor_seconds
    found = poll_load(hub, seconds)
    each = 1e3 * (hub.processor_seconds - before) / found.answers
    met = found.rate >= 3_000 and found.p99 <= 0.025
    what = f"poll answered 304, authenticated, {CONNECTIONS} connections"
    words = f"{load_words(found)}; {each:.2f} ms of processor time each"
    return ScaleRow("poll", what, "≥ 3,000/s, p99 ≤ 25 ms", words, met)


def poll_load(hub: ServedHub, seconds: float) -> LoadResult:
    """Load a hub with polls of devices that have what is newest."""
    etag = etag_of(hub)
    requests = [
        http_request("GET", "/v1/metadata/timestamp.json", t, headers=[f"If-None-Match: {etag}"])
        for t in _tokens(hub)
    ]
    found = load(hub.port, [cycle([r]).__next__ for r in requests], seconds)
    found.check(304)
    return found


def cascade(hub: ServedHub, seconds: float) -> ScaleRow:
    """Ask for answers of the cloud line, each of its own row."""
    rows = np.random.default_rng(0).normal(size=(256, 30)).round(3).tolist()
    bodies = [json.dumps({"model": MODEL, "version": "1.0", "row": row}).encode() for row in rows]
    makers = []
    for number, token in enumerate(_tokens(hub)):
        turn = bodies[number:] + bodies[:number]
        makers.append(cycle([http_request("POST", "/v1/predict", token, b) for b in turn]).__next__)
    found, words = _loaded(hub, makers, seconds, 200)
    met = found.rate >= 1_500 and found.p99 <= 0.030
    what = f"cascade answer (`/v1/predict`), MLP 30-64-32-2, {CONNECTIONS} connections"
    return ScaleRow("cascade", what, "≥ 1,500/s, p99 ≤ 30 ms", words, met)


def lone_cascade(hub: ServedHub, seconds: float) -> ScaleRow:
    """Ask from one connection: nothing waits for company."""
    row = np.random.default_rng(0).normal(size=30).round(3).tolist()
    body = json.dumps({"model": MODEL, "version": "1.0", "row": row}).encode()
    request = http_request("POST", "/v1/predict", hub.tokens[0], body)
    _, words = _loaded(hub, [lambda: request], seconds, 200)
    return ScaleRow("lone cascade", "the same from one connection", "", words)


def generator_limit(bench: Bench) -> list[ScaleRow]:
    """Load a server that says one thing, on the core of the hub."""
    command = [sys.executable, "-m", "benchmarks.hub.constant_server"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(server.pid, cores()[0])
        assert server.stdout is not None
        port = int(server.stdout.readline())
        request = http_request("GET", "/", "nobody")
        found = load(port, [lambda: request] * CONNECTIONS, bench.seconds)
    finally:
        server.terminate()
        server.communicate()
    what = "the load generator beside a server that says one thing"
    return [ScaleRow("generator", what, "", load_words(found))]


def _loaded(
    hub: ServedHub, makers: Sequence[Callable[[], bytes]], seconds: float, status: int
) -> tuple[LoadResult, str]:
    """Load a hub; return what came back, in words too, with the processor time of the hub."""
    before = hub.processor_seconds
    found = load(hub.port, makers, seconds)
    each = 1e3 * (hub.processor_seconds - before) / found.answers
    found.check(status)
    return found, f"{load_words(found)}; {each:.2f} ms of processor time each"


def _tokens(hub: ServedHub) -> list[str]:
    return [hub.tokens[number % len(hub.tokens)] for number in range(CONNECTIONS)]


def etag_of(hub: ServedHub) -> str:
    """Return the ETag of the newest timestamp."""
    url = f"http://127.0.0.1:{hub.port}/v1/metadata/timestamp.json"
    headers = {"Authorization": f"Bearer {hub.tokens[0]}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return str(answer.headers["ETag"])


def load_words(found: LoadResult) -> str:
    """Return rate and waits in words."""
    return f"{found.rate:,.0f}/s, p50 {1e3 * found.p50:.1f} ms, p99 {1e3 * found.p99:.1f} ms"
