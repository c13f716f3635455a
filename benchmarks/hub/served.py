"""A real hub on one core, with releases, plans and devices; the load comes from another core."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.hub.scale_row import Bench
from benchmarks.models import converted, logistic_regression, perceptron
from cloud_hub.hub import initialise, open_hub
from cloud_hub.settings import Settings
from edge_sdk.hub.device_key import DeviceKey

MODEL: Final = "asking"
CLOUD: Final = "answering"
START_SECONDS: Final = 120.0
IDLE_SECONDS: Final = 3.0
CORES: Final = sorted(os.sched_getaffinity(0))
"""As this process was started: it moves to those of the load before it measures."""


@dataclass(frozen=True)
class ServedHub:
    """A hub process.

    Attributes:
        port: on the loopback address.
        pid: of the process.
        ready: seconds from its start to its first answer.
        tokens: credentials of devices.
    """

    port: int
    pid: int
    ready: float
    tokens: tuple[str, ...]

    @property
    def memory(self) -> float:
        """Return the resident memory in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def processor_seconds(self) -> float:
        """Return the processor time that it and its workers have used."""
        return group_seconds(self.pid)


def cores() -> tuple[list[int], list[int]]:
    """Return the core of the server, and those of the load; both the same where there is one."""
    return CORES[:1], CORES[1:] or CORES


@contextlib.contextmanager
def every_core() -> Iterator[None]:
    """Give this process and what it starts all cores: else one is kept for the hub."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def served_hub(
    bench: Bench, devices: int, database: str | None = None, options: Sequence[str] = ()
) -> Iterator[ServedHub]:
    """Make a hub with a model, its cloud line and devices, and serve it until the block ends.

    Args:
        bench: in whose folder it is.
        devices: with a credential each.
        database: URL of its tables; default SQLite.
        options: further ones of ``edge-hub serve``.
    """
    data = bench.folder / "hub"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's: the models are small on purpose
        tokens = prepare(data, devices, database)
    with served(data, tokens, (*database_options(database), *options)) as hub:
        yield hub


def database_options(database: str | None) -> tuple[str, ...]:
    """Return the options of ``edge-hub serve`` for tables at a URL; none for SQLite."""
    return ("--database", database) if database else ()


def prepare(data: Path, devices: int, database: str | None = None) -> tuple[str, ...]:
    """Make a hub whose model has a cloud line; return the credentials of its devices.

    Args:
        data: its folder.
        devices: that join.
        database: URL of its tables; default SQLite.
    """
    settings = Settings(data, database, tick_seconds=0)
    initialise(settings)
    hub = open_hub(settings)
    try:
        for made, name in ((logistic_regression(), MODEL), (perceptron(), CLOUD)):
            release = converted(made, name, data.parent)
            hub.registry.publish(release, actor="benchmark", override="benchmark")
            hub.plans.promote(name, release.manifest.version, actor="benchmark", reason="first")
        hub.registry.set_policy(MODEL, f"cloud: {CLOUD}\n", actor="benchmark")
        token = hub.fleet.new_token(MODEL, uses=devices, seconds=3_600, actor="benchmark")
        tokens = []
        for _ in range(devices):
            key = DeviceKey.generate()
            name = hub.fleet.enrol(token, key.enrolment((MODEL,), token)).device
            asked = key.credential_request(name, 0, os.urandom(16).hex())
            tokens.append(hub.fleet.identities.new_credential(asked).credential)
        return tuple(tokens)
    finally:
        hub.close()


@contextlib.contextmanager
def served(data: Path, tokens: Sequence[str], options: Sequence[str] = ()) -> Iterator[ServedHub]:
    """Serve a hub on the first core until the block ends.

    Args:
        data: its folder.
        tokens: credentials of its devices.
        options: further ones of ``edge-hub serve``.
    """
    url = data / "hub.url"
    url.unlink(missing_ok=True)
    command = [sys.executable, "-m", "cloud_hub.cli.main", "serve", str(data), "--port", "0"]
    # One client stands for many devices here: no rate of one device is asked about.
    command += ["--device-rate", "0", "--address-rate", "0", *options]
    with (data.parent / "hub.log").open("ab") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=_with_bytecode()
        )
        os.sched_setaffinity(process.pid, cores()[0])
    try:
        port = _first_answer(url, process)
        yield ServedHub(port, process.pid, time.perf_counter() - began, tuple(tokens))
    finally:
        process.terminate()
        process.wait(60)


def _with_bytecode() -> dict[str, str]:
    """Return the environment of a hub that finds its modules compiled, as an installed one does."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def group_seconds(group: int) -> float:
    """Return the processor time that all processes of a group have used."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(_stat(stat)[2]) == group:
                total += process_seconds(int(stat.parent.name))
    return total


def process_seconds(pid: int) -> float:
    """Return the processor time that a process has used, 0 if it is gone."""
    try:
        fields = _stat(Path(f"/proc/{pid}/stat"))
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """Return what the kernel says of a process, after its name, which may have blanks."""
    return path.read_text().rpartition(")")[2].split()


def _first_answer(url: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.perf_counter() + START_SECONDS
    while time.perf_counter() < end and process.poll() is None:
        time.sleep(0.005)
        if not url.exists():
            continue
        address = url.read_text().strip()
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{address}/v1/health", timeout=START_SECONDS).read()
            return int(address.rpartition(":")[2])
    raise RuntimeError(f"expected a hub that answers, its log is {url.parent.parent / 'hub.log'}")
