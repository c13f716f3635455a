"""Rows, batches, telemetry and threads of one model, beside plain onnxruntime."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.timing import Ask, Timing, each, rounds
from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.pack import KEY_BYTES
from edge_sdk.pack_writer import write_pack
from edge_sdk.release import Release

ROWS, THREADS, CALLS = 512, 8, 2_000


@dataclass(frozen=True)
class Subject:
    """A release, a pack that holds none of the rows, and rows like those it was trained on."""

    release: Release
    pack: Path
    rows: NDArray[np.float32]

    @property
    def model(self) -> Path:
        """The ``.onnx`` file."""
        return self.release.model_path

    @contextmanager
    def device(self, *, monitoring: bool = True) -> Iterator[EdgeDevice]:
        """A device with everything on: pack, monitoring, the thread that folds."""
        config = DeviceConfig(monitoring=monitoring)
        with EdgeDevice.offline(self.release.folder, pack=self.pack, config=config) as device:
            yield device


def subject(release: Release, folder: Path) -> Subject:
    """``release`` with a pack of 10,000 keys of other inputs."""
    random = np.random.default_rng(0)
    keys = random.integers(0, 256, (10_000, KEY_BYTES), dtype=np.uint8)
    classes = len(release.manifest.signature.classes)
    values = {"probabilities": random.random((len(keys), classes), dtype=np.float32)}
    path = folder / f"{release.manifest.model}.pack"
    write_pack(path, release, keys, values, answered_by="benchmark")
    golden = next(iter(release.golden().inputs.values()))
    rows = np.resize(golden, (ROWS, golden.shape[1])) + random.normal(0, 1e-3, (ROWS, 1))
    return Subject(release, path, rows.astype(np.float32))


def single_rows(subject: Subject, seconds: float) -> dict[str, Timing]:
    """One row a call: ours with everything on, two ways people write it, and the limit."""
    classes = len(subject.release.manifest.signature.classes)
    one = peers.session(subject.model, 1)
    with subject.device() as device:
        candidates: dict[str, Ask] = {
            "edge_sdk": device.predict,
            "default": peers.plain(peers.session(subject.model, None)),
            "one thread": peers.plain(one),
            "prebound": peers.prebound(one, subject.rows.shape[1], classes),
        }
        return rounds(candidates, list(subject.rows) * 2, seconds=seconds, between=_nothing)


def batches(subject: Subject, size: int, seconds: float) -> dict[str, Timing]:
    """One batch of ``size`` rows a call."""
    batch = np.resize(subject.rows, (size, subject.rows.shape[1]))
    inputs = [batch] * max(3, 20_000 // size)
    with subject.device() as device:
        candidates: dict[str, Ask] = {
            "edge_sdk": device.predict_batch,
            "one thread": peers.plain(peers.session(subject.model, 1)),
        }
        return rounds(candidates, inputs, seconds=seconds, between=_nothing)


def telemetry(subject: Subject, seconds: float) -> dict[str, float]:
    """Microseconds a row of a long loop with monitoring on and off, everything included.

    The processor time of the whole process counts, so that the folding thread does; and the
    99.9th percentile of single calls in milliseconds.
    """
    found: dict[str, list[float]] = {"on": [], "off": []}
    slowest: dict[str, list[float]] = {"on": [], "off": []}
    rows = list(subject.rows) * 40
    with subject.device() as on, subject.device(monitoring=False) as off:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(found["on"]) < 5:
            for name, device in (("on", on), ("off", off)):
                started = time.process_time()
                times = each(device.predict, rows)
                time.sleep(0.25)  # the thread folds what is left
                found[name].append((time.process_time() - started) / len(rows) * 1e6)
                slowest[name].append(float(np.percentile(times, 99.9)) / 1e3)
    middle = {name: statistics.median(values) for name, values in found.items()}
    tails = {f"p99.9 {name}": statistics.median(v) for name, v in slowest.items()}
    return {**middle, **tails}


def threads(subject: Subject, seconds: float) -> dict[str, float]:
    """Predictions a second of eight threads on one device, and on one session."""
    with subject.device() as device:
        candidates: dict[str, Ask] = {
            "edge_sdk": device.predict,
            "default": peers.plain(peers.session(subject.model, None)),
        }
        found: dict[str, list[float]] = {name: [] for name in candidates}
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(found["default"]) < 5:
            for name, ask in candidates.items():
                found[name].append(_throughput(ask, list(subject.rows)))
    return {name: statistics.median(values) for name, values in found.items()}


def _throughput(ask: Ask, rows: list[Any]) -> float:
    barrier = threading.Barrier(THREADS + 1)

    def work() -> None:
        barrier.wait()
        for i in range(CALLS):
            ask(rows[i % len(rows)])

    workers = [threading.Thread(target=work) for _ in range(THREADS)]
    for worker in workers:
        worker.start()
    barrier.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    return THREADS * CALLS / (time.perf_counter() - started)


def _nothing(_: Any) -> None:
    return None
