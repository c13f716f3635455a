"""The local server: one small row at a time, over HTTP and over its Unix socket.

Invariants:

* The server is a process on one core and the load is this process on another, where the system
  lets them be placed; each holds its connections open.
* All servers answer the same requests from the same release, and take turns in every round.
* What is *added* is the median over that of ``predict`` in this process.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.serving_peers import ECHO, OURS, WAYS
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import Effort
from edge_sdk.bench.result import Findings, GoalRow, Timing
from edge_sdk.device import EdgeDevice
from edge_sdk.model.release import Release

RATE: Final = Goal(16, "single rows over HTTP, one core serves, a second", 4_000, "", True)
ADDED: Final = Goal(16, "a row over HTTP, p50 added to predict", 250.0, "µs")
ADDED_SOCKET: Final = Goal(16, "a row over the Unix socket, p50 added to predict", 40.0, "µs")

CONNECTIONS: Final = (1, 8, 100)
FRAMES: Final = "edge serve, Unix socket"
IN_PROCESS: Final = "predict in this process"
SOCKETS: Final = {OURS: "edge.sock", FRAMES: "edge.sock", ECHO: "echo.sock"}
TURNS: Final = 4
"""A turn takes so many times the seconds of others: it has connections to open."""

Tell = Callable[[str], None]
Exchange = Callable[[float], list[float]]


@dataclass
class Served:
    """What was measured of one server with so many connections, round by round."""

    latencies: list[list[float]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)

    def timing(self, group: str, name: str) -> Timing:
        """Return the medians over the rounds, µs."""
        percentiles = [np.percentile(turn, (50, 90, 99)) for turn in self.latencies]
        cuts = [[float(x) * 1e6 for x in each] for each in percentiles]
        p50, p90, p99 = (round(statistics.median(each), 2) for each in zip(*cuts, strict=True))
        return Timing(group, name, p50, p90, p99, sum(map(len, self.latencies)))


def measure(release: Release, folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure the local server beside other ways to write one.

    Args:
        release: of rows of float32.
        folder: for the socket.
        effort: rounds and seconds a turn.
        tell: called with a line for each step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width = len(release.manifest.signature.columns)
    row = np.random.default_rng(0).random(width).astype(np.float32)
    found: dict[tuple[str, int], Served] = {}
    with contextlib.ExitStack() as stack:
        cores = stack.enter_context(_cores())
        _place_on(cores[0])  # processes that are started stay where their parent was
        servers = {way: stack.enter_context(_server(way, release, folder)) for way in WAYS}
        echo = stack.enter_context(_server(ECHO, release, folder))
        _place_on(cores[-1])
        device = stack.enter_context(EdgeDevice.offline(release.folder))
        tell("single rows, in turns")
        for _ in range(effort.rounds):
            seconds = effort.turn_seconds * TURNS
            _round(found, servers, release, row, seconds)
            for way, process in ((FRAMES, servers[OURS][1]), (ECHO, echo[1])):
                ask = functools.partial(_over_socket, folder / SOCKETS[way], row)
                _measured(found, (way, 1), process, seconds, ask)
            own = functools.partial(_calls, device, row)
            _measured(found, (IN_PROCESS, 1), None, effort.turn_seconds, own)
    return _findings(found)


def _round(
    found: dict[tuple[str, int], Served],
    servers: dict[str, tuple[int, int]],
    release: Release,
    row: Any,
    seconds: float,
) -> None:
    request = _request(release, row)
    for way, (port, process) in servers.items():
        for count in CONNECTIONS:
            with contextlib.ExitStack() as stack:
                opened = [
                    stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    for _ in range(count)
                ]
                for each in opened:
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                exchange = _one_by_one if count == 1 else _at_once
                ask = functools.partial(exchange, opened, request)
                _measured(found, (way, count), process, seconds, ask)


def _over_socket(path: Path, row: Any, seconds: float) -> list[float]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        frame = struct.pack("<IHH", row.nbytes, 1, 0) + row.tobytes()
        return _one_by_one([client], frame, seconds)


def _measured(
    found: dict[tuple[str, int], Served],
    key: tuple[str, int],
    process: int | None,
    seconds: float,
    exchange: Exchange,
) -> None:
    exchange(seconds / 10)  # to warm up
    before, began = _processor_seconds(process), time.perf_counter()
    latencies = exchange(seconds)
    took, used = time.perf_counter() - began, _processor_seconds(process) - before
    served = found.setdefault(key, Served())
    served.latencies.append(latencies)
    served.rates.append(len(latencies) / took)
    served.processor_us.append(used / len(latencies) * 1e6)


def _calls(device: EdgeDevice, row: Any, seconds: float) -> list[float]:
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or not latencies:
        device.predict(row)
        latencies.append(time.perf_counter() - began)
    return latencies


def _one_by_one(opened: list[socket.socket], request: bytes, seconds: float) -> list[float]:
    """Ask on one connection; the answer is small enough to come at once."""
    (client,) = opened
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or not latencies:
        client.sendall(request)
        assert client.recv(1 << 16)
        latencies.append(time.perf_counter() - began)
    return latencies


def _at_once(opened: list[socket.socket], request: bytes, seconds: float) -> list[float]:
    """Ask on all connections, on each again as soon as its answer is there."""
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        began = {}
        for client in opened:
            selector.register(client, selectors.EVENT_READ, client)
            began[client] = time.perf_counter()
            client.sendall(request)
        end, waiting = time.perf_counter() + seconds, len(opened)
        while waiting:
            for key, _ in selector.select():
                client = key.data
                assert client.recv(1 << 16)
                now = time.perf_counter()
                latencies.append(now - began[client])
                if now >= end:
                    waiting -= 1
                    continue
                began[client] = now
                client.sendall(request)
    return latencies


def _request(release: Release, row: Any) -> bytes:
    manifest = release.manifest
    name = manifest.signature.inputs[0].name
    tensor = {"name": name, "datatype": "FP32", "shape": [1, len(row)], "data": row.tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    return (
        f"POST /v2/models/{manifest.model}/infer HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@contextlib.contextmanager
def _server(way: str, release: Release, folder: Path) -> Iterator[tuple[int, int]]:
    """Yield the port and the process of a server."""
    path = folder / SOCKETS.get(way, "none")
    words = [sys.executable, "-m", "benchmarks.serving_peers", way, str(release.folder), str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield port, process.pid
        finally:
            process.terminate()


@contextlib.contextmanager
def _cores() -> Iterator[list[int]]:
    """Yield the cores that this process may use, and let it use all of them again afterwards."""
    if not hasattr(os, "sched_setaffinity"):
        yield [0]
        return
    before = os.sched_getaffinity(0)
    try:
        yield sorted(before)
    finally:
        os.sched_setaffinity(0, before)


def _place_on(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def _processor_seconds(process: int | None) -> float:
    """Return the processor time of a process so far; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _findings(found: dict[tuple[str, int], Served]) -> Findings:
    timings = []
    facts: dict[str, float] = {}
    for (name, count), served in sorted(found.items(), key=lambda item: item[0][1]):
        timings.append(served.timing(f"one row, {count} connections", name))
        where = f"{name}, {count} connections"
        facts[f"{where}, answers a second"] = round(statistics.median(served.rates))
        if any(served.processor_us):
            # Clock ticks are coarse: the mean over all rounds, not a median.
            used = statistics.mean(served.processor_us)
            facts[f"{where}, processor µs an answer"] = round(used, 1)
    p50 = {(t.group, t.name): t.p50_us for t in timings}
    alone = "one row, 1 connections"
    own = p50[alone, IN_PROCESS]
    claims = [
        GoalRow.of(RATE, statistics.median(found[OURS, count].rates), f"{count} connections")
        for count in CONNECTIONS
    ]
    claims.append(GoalRow.of(ADDED, p50[alone, OURS] - own))
    claims.append(GoalRow.of(ADDED_SOCKET, p50[alone, FRAMES] - own))
    ratio = p50[alone, FRAMES] / p50[alone, ECHO]
    claims.append(GoalRow(16, "a row over the Unix socket, against an echo of it, p50", ratio, "x"))
    claims += [
        GoalRow(16, f"a row over HTTP, {count} connections, against {way}, p50",
                p50[f"one row, {count} connections", OURS]
                / p50[f"one row, {count} connections", way], "x")
        for count in CONNECTIONS for way in WAYS if way != OURS
    ]  # fmt: skip
    return Findings(tuple(timings), tuple(claims), facts)
