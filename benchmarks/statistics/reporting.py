"""Cost of monitoring: bytes that leave the device, time and memory on it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.statistics.part import Effort, Part, Row
from benchmarks.statistics.peers import running
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
from edge_sdk.contract.codec import encode
from edge_sdk.contract.messages import WindowReport
from edge_sdk.device_kinds.offline import OFFLINE
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import Predictor

FEATURES: Final = 50
WINDOW: Final = 2_000
ROWS: Final = 20_000


def run(effort: Effort) -> list[Row]:
    """A logistic regression of 50 features."""
    with tempfile.TemporaryDirectory() as folder:
        release, rows = release_and_rows(Path(folder))
        table = [*_bytes(release, rows, Path(folder)), *_times(release, rows, effort)]
        return [*table, _memory(release, effort)]


def release_and_rows(folder: Path, groups: Any = None) -> tuple[Release, NDArray[np.float32]]:
    """A release of 50 features, and rows for it."""
    random = np.random.default_rng(6)
    X = random.standard_normal((4_000, FEATURES)).astype(np.float32)
    y = (X[:, :5].sum(axis=1) + random.standard_normal(4_000) > 0).astype(int)
    model = LogisticRegression().fit(X[:2_000], y[:2_000])
    release = convert(
        model,
        X[2_000:],
        y[2_000:],
        name="fifty",
        out=folder / "fifty",
        variants=("float32",),
        groups=groups,
    )
    return release, random.standard_normal((WINDOW, FEATURES)).astype(np.float32)


def _bytes(release: Release, rows: NDArray[np.float32], folder: Path) -> list[Row]:
    serving = Predictor(release, OFFLINE, tag="bench", clock=lambda: 0.0)
    for row in rows:
        serving.predict(row)
    (report,) = (
        body for body in serving.monitor.collect(0.0, final=True) if isinstance(body, WindowReport)
    )
    serving.close()
    size = len(encode(report))
    about = f"one window report of {FEATURES} features, {WINDOW:,} rows, before compression"
    table = [Row(about, "≤ 5,000 bytes", f"{size:,} bytes", size <= 5_000)]
    if not running.available():
        return [*table, Row("whylogs on the same rows", "", running.ABSENT)]
    peer = running.run("profiled.py", folder, rows=rows)
    verbatim = (
        f"{int(peer['verbatim']):,} of the {int(peer['values']):,} values of one feature verbatim"
    )
    return [
        *table,
        Row("whylogs on the same rows", "", f"{int(peer['bytes']):,} bytes, {verbatim}"),
    ]


def _times(release: Release, rows: NDArray[np.float32], effort: Effort) -> list[Row]:
    """Monitored calls less unmonitored ones, in turns; processor time of this thread."""
    plain = Predictor(release, OFFLINE, tag="off", monitoring=False)
    watched = Predictor(release, OFFLINE, tag="on")
    turns = effort.runs(40)
    calls, single, amortised = [], [], []
    for _ in range(turns):
        base = _per_row(plain, rows)
        calls.append(_per_row(watched, rows, fold=False) - base)
        watched.monitor.fold()
        single.append(_per_row(watched, rows[:500], fold_each=True) - base)
        amortised.append(_per_row(watched, rows) - base)
    plain.close()
    watched.close()
    one, many = statistics.median(single), statistics.median(amortised)
    call = statistics.median(calls)
    return [
        Row("monitoring a row, in the call itself", "", f"{call:.2f} µs"),
        Row("monitoring a row, folded by itself", "≤ 25 µs", f"{one:.1f} µs", one <= 25),
        Row("monitoring a row, folded 2,000 at once", "≤ 2 µs", f"{many:.2f} µs", many <= 2),
    ]


def _per_row(
    serving: Predictor, rows: NDArray[np.float32], *, fold: bool = True, fold_each: bool = False
) -> float:
    predict, empty = serving.predict, serving.monitor.fold
    began = time.thread_time_ns()
    for row in rows:
        predict(row)
        if fold_each:
            empty()
    if fold:
        empty()
    return (time.thread_time_ns() - began) / len(rows) / 1e3


def _memory(release: Release, effort: Effort) -> Row:
    sizes = {on: _resident(release, on, effort.runs(5) // 4) for on in (True, False)}
    more = sizes[True] - sizes[False]
    about = f"memory of monitoring after {ROWS:,} rows, its thread folding"
    return Row(about, "≤ 5 MB", f"{more:.1f} MB", more <= 5)


def _resident(release: Release, monitoring: bool, times: int) -> float:
    command = [sys.executable, "-m", __name__, str(release.folder), str(int(monitoring))]
    megabytes = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(max(3, times))
    ]
    return statistics.median(megabytes)


def _report_memory(folder: str, monitoring: bool) -> None:
    """In a process of its own: answer, and print the resident memory in MB."""
    rows = np.random.default_rng(7).standard_normal((ROWS, FEATURES)).astype(np.float32)
    config: Any = DeviceConfig(monitoring=monitoring)
    with EdgeDevice.offline(folder, config=config) as device:
        for i, row in enumerate(rows):
            device.predict(row)
            if i % 2_000 == 0:
                time.sleep(0.05)
        time.sleep(1.2)
        print(device.status()["resources"]["rss_mb"] * (1 << 20) / 1e6)


PART = Part(
    "Reports and their cost on the device",
    "A logistic regression of 50 float features through the device's own runtime. Times are "
    "processor time of the thread, monitored calls less unmonitored ones in turns; memory is that "
    "of fresh processes, medians.",
    run,
)

if __name__ == "__main__":
    _report_memory(sys.argv[1], sys.argv[2] == "1")
