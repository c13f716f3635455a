"""Look-ups of entities over HTTP: what one core of a hub answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloud_hub.client import AdminClient
from cloud_hub.hub import initialise
from cloud_hub.settings import Settings
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.model.release import Release

RATE: Final = Goal(15, "look-ups of an entity that one core answers in a second", 2_500, "/s", True)
ENTITIES: Final = 100_000
CONNECTIONS: Final = 8
WAIT_SECONDS: Final = 120.0


def measure(folder: Path, release: Release, effort: Effort) -> Findings:
    """Ask a hub in a process of its own, over connections that stay open.

    Args:
        folder: for the hub.
        release: that answers.
        effort: fewer requests unless it is the full one.
    """
    count = 16_000 if effort is FULL else 800
    folder.mkdir(parents=True, exist_ok=True)
    with serving_hub(folder) as (pid, admin):
        _prepare(admin, folder, release)
        token = (folder / "data" / "admin.token").read_text().strip()
        model = release.manifest.model
        rates = {}
        # A device's way for comparison: the general one, by a body.
        for name, more in (("fast path", ""), ("general way", "?generally=1")):
            path = f"/v1/models/{model}/predictions/user-{{}}{more}"
            drive(admin.url, path, token, count // 10)
            began, used = time.perf_counter(), cpu_seconds(pid)
            drive(admin.url, path, token, count)
            wall = count / (time.perf_counter() - began)
            rates[name] = (count / (cpu_seconds(pid) - used), wall)
    return Findings(
        (),
        (GoalRow.of(RATE, rates["fast path"][0]),),
        {
            "look-ups a second of the machine as it was": rates["fast path"][1],
            "look-ups a second of one core without the fast path": rates["general way"][0],
        },
    )


def _prepare(admin: AdminClient, folder: Path, release: Release) -> None:
    model = release.manifest.model
    publish(admin, folder, release)
    random = np.random.default_rng(0)
    names = [column.name for column in release.manifest.signature.columns]
    columns = {name: random.normal(size=ENTITIES).astype(np.float32) for name in names}
    users = [f"user-{i}" for i in range(ENTITIES)]
    pq.write_table(pa.table({"user": users, **columns}), folder / "users.parquet")
    policy = f"batch: {{all: {{source: {{parquet: {folder / 'users.parquet'}}}, entity: user}}}}"
    admin.put(f"models/{model}/policy", policy.encode())
    record = admin.post(f"models/{model}/batch/all/generations")
    while record["status"] != "whole":
        assert record["status"] in ("waiting", "running"), record["reason"]
        time.sleep(0.2)
        record = admin.get(f"generations/{record['id']}")


@contextmanager
def serving_hub(folder: Path) -> Iterator[tuple[int, AdminClient]]:
    """Give the number of a hub's process and its client, while a block runs."""
    data = folder / "data"
    initialise(Settings(data))
    command = [sys.executable, "-m", "cloud_hub.cli.main", "serve", str(data), "--port", "0"]
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        end = time.monotonic() + WAIT_SECONDS
        while not (data / "hub.url").exists():
            assert process.poll() is None, (folder / "hub.log").read_text()
            assert time.monotonic() < end, "the hub does not start"
            time.sleep(0.1)
        yield process.pid, AdminClient.of_data(data)
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def publish(admin: AdminClient, folder: Path, release: Release) -> None:
    """Have a release served by the hub of :func:`serving_hub` in that folder."""
    manifest = release.manifest
    admin.publish(release.folder, folder / "data" / "keys" / "releases.pem", override="benchmark")
    admin.post(f"models/{manifest.model}/promote", version=manifest.version)


def cpu_seconds(pid: int, *, children: bool = False) -> float:
    """Return the seconds of the processor that a process took.

    Args:
        pid: of the process.
        children: add those of its children that have ended.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11 : 15 if children else 13])
    return ticks / os.sysconf("SC_CLK_TCK")


def drive(url: str, path: str, token: str, count: int, entities: int = ENTITIES) -> None:
    """Ask ``count`` times, over several connections at once.

    Args:
        url: of the hub.
        path: with a place for the number of an entity.
        token: of the administrator.
        count: of questions.
        entities: that there are.
    """
    address = urlsplit(url)
    errors: list[BaseException] = []

    def ask(start: int) -> None:
        try:
            with socket.create_connection((address.hostname, address.port)) as line:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(start, count, CONNECTIONS):
                    _ask(line, path.format(i * 7_919 % entities), token)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _ask(line: socket.socket, path: str, token: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\r\n"
    line.sendall(request.encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += line.recv(65_536)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += line.recv(65_536)
