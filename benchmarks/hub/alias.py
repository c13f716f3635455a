"""A poll beside what the field has for the same question: an MLflow server, asked for an alias.

Both answer "what is newest?" from one process on one core to the same generator, one after the
other: MLflow with its SQLite store, the hub with its own. MLflow is not asked who asks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.hub.generator import LoadResult, http_request, load
from benchmarks.hub.measured_rows import CONNECTIONS, load_words, poll_load
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import CLOUD, cores, group_seconds, served_hub

API: Final = "/api/2.0/mlflow"
START_SECONDS: Final = 300.0
SHORTEST_SECONDS: Final = 15.0
TIMES: Final = 20
WHAT: Final = "poll answered 304 against an MLflow alias read, the same run"


def beside_mlflow(bench: Bench) -> list[ScaleRow]:
    """Load a hub and an MLflow server in turn."""
    program = None if bench.peers is None else bench.peers / "bin" / "mlflow"
    if program is None or not program.exists():
        raise FileNotFoundError("expected --peers FOLDER, an environment with MLflow: pip install")
    with served_hub(bench, devices=CONNECTIONS) as hub:
        ours = poll_load(hub, bench.seconds)
    # Never less: it takes some time for the first answers.
    theirs, each = _alias_reads(program, bench.folder, max(bench.seconds, SHORTEST_SECONDS))
    times = ours.rate / theirs.rate
    name = _version(program)
    return [
        ScaleRow(
            "alias", WHAT, f"≥ {TIMES}×",
            f"{times:.0f}×: {load_words(ours)} against {load_words(theirs)} of {name}, "
            f"which takes {each:.1f} ms of processor time each",
            times >= TIMES,
        )
    ]  # fmt: skip


def _alias_reads(program: Path, folder: Path, seconds: float) -> tuple[LoadResult, float]:
    """Return what an MLflow server answered, and its processor time for one, milliseconds."""
    with _mlflow(program, folder) as (port, pid):
        _post(port, "registered-models/create", name=CLOUD)
        _post(port, "model-versions/create", name=CLOUD, source="s3://models/answering")
        _post(port, "registered-models/alias", name=CLOUD, alias="champion", version="1")
        path = f"{API}/registered-models/alias?name={CLOUD}&alias=champion"
        request = http_request("GET", path, "nobody")
        before = group_seconds(pid)
        found = load(port, [lambda: request] * CONNECTIONS, seconds)
        each = 1e3 * (group_seconds(pid) - before) / found.answers
    found.check(200)
    return found, each


@contextlib.contextmanager
def _mlflow(program: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Serve an empty registry on the core of the hub; give its port, and the process group."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(program), "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--allowed-hosts", "*"]
    command += ["--artifacts-destination", str(folder / "mlartifacts")]
    core = ",".join(map(str, cores()[0]))
    with (folder / "mlflow.log").open("ab") as log:
        server = subprocess.Popen(
            ["taskset", "-c", core, *command], stdout=log, stderr=log, cwd=folder,
            start_new_session=True, env={**os.environ, "PYTHONPATH": ""},
        )  # fmt: skip
    try:
        _wait(port, server)
        yield port, server.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 9)
        server.wait()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30).read()
            return
        time.sleep(0.2)
    raise RuntimeError("expected an MLflow server that answers")


def _post(port: int, path: str, **body: Any) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{API}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=60).read()


def _version(program: Path) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return f"MLflow {told.stdout.strip().rpartition(' ')[2]}"
