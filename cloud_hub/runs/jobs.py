"""Worker processes: their folders, their data, starting and ending them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.registry.service import Dataset
from edge_sdk.files import write_atomic

HELD_SHARE: Final = 0.25
"""Of the fresh rows, kept from training for the offline gate."""


@dataclass(frozen=True)
class Job:
    """A training to be done, as its worker reads it; paths as strings."""

    model: str
    version: str
    parent: str
    mode: str
    entry: str
    path: str | None
    seed: int
    cloud: str | None


class Worker:
    """A worker process that this hub process started."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._log = (folder / "log.txt").open("ab")
        command = [sys.executable, "-m", "cloud_hub.runs.worker", str(folder)]
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        self._deadline = time.monotonic() + timeout

    def running(self) -> bool:
        """Whether it is still at work."""
        return self._process.poll() is None

    def overdue(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() > self._deadline

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def prepare(
    folder: Path, job: Job, fresh: Dataset, history: Dataset | None, state: bytes | None
) -> None:
    """Write what the worker reads."""
    folder.mkdir(parents=True)
    assert fresh.labels is not None
    held = held_back(fresh.rows)
    parts = {
        "fresh": Dataset(fresh.rows[~held], fresh.labels[~held]),
        "held": Dataset(fresh.rows[held], fresh.labels[held]),
    }
    if history is not None and history.labels is not None:
        parts["history"] = history
    for name, data in parts.items():
        write_atomic(folder / f"{name}.npz", data.to_bytes())
    if state is not None:
        write_atomic(folder / "parent.pkl", state)
    write_atomic(folder / "job.json", json.dumps(vars(job)).encode())


def held_back(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows are kept from training: by the hash of their values, so that copies of one row
    never stand on both sides.
    """
    limit = int(HELD_SHARE * 256)
    first = [hashlib.sha256(np.ascontiguousarray(row).tobytes()).digest()[0] for row in rows]
    return np.array(first) < limit


def held_rows(folder: Path) -> Dataset:
    """The rows that :func:`prepare` kept from training."""
    return Dataset.from_bytes((folder / "held.npz").read_bytes())


def result(folder: Path) -> dict[str, Any] | None:
    """What the worker wrote at its end, if it got there."""
    path = folder / "result.json"
    return json.loads(path.read_text()) if path.exists() else None
