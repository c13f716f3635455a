"""The folder of one attempt: files that a worker gets copies of, and what is taken from it.

The worker has a folder of its own (see :mod:`cloud_hub.isolation`) with copies of what it reads;
:mod:`cloud_hub.runs.results` takes what it left.

::

    job.json                              the training to be done
    fresh.npz held.npz history.npz        rows; ``held`` is for the offline gate alone
    parent.state                          state of the parent's training
    features/                             sets of features (see cloud_hub.features.snapshot)
    out/                                  left by a command or a pipeline: model.*, state
    release/ next.state result.json       taken from the worker, in this order
    log.txt                               its output
    work                                  path of the worker's folder, while it runs
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.isolation.workers import PREFIX, WorkerProcess, Workers
from cloud_hub.registry.dataset import Dataset
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.manifest import Label, Task
from edge_sdk.system.files import write_atomic

HELD_SHARE: Final = 0.25
"""Share of the fresh rows that is kept from training, for the offline gate."""

FEATURES: Final = "features"
"""Sets of features; :mod:`cloud_hub.features.snapshot` says what is in it."""

OUT: Final = "out"
WORK: Final = "work"
CLOUD: Final = "cloud"
MODELS: Final = ("model.onnx", "model.skops", "model.pkl")
"""Files that a command or a pipeline may leave in :data:`OUT`, in this order of preference."""


@dataclass(frozen=True)
class TrainingJob:
    """A training to be done, as its worker reads it.

    ``versions`` are the names that a stateful and a stateless result get; ``columns`` how many the
    parent takes; ``entry`` and ``command`` are both ``None`` when a pipeline has trained already;
    ``cloud`` is the folder of the release that a cascade is calibrated against; ``trust`` lets the
    model be a pickle, or hold types that skops does not know; ``classes`` are the parent's, in the
    order of the probabilities, and ``task`` is the parent's, for models that are files; ``groups``
    are what the parent declares.
    """

    model: str
    run: int
    parent: str
    mode: str
    mode_reason: str
    versions: dict[str, str]
    columns: int
    window: tuple[float, float]
    seed: int
    entry: str | None = None
    command: tuple[str, ...] | None = None
    path: str | None = None
    cloud: str | None = None
    trust: bool = False
    classes: tuple[Label, ...] = ()
    task: Task = "classification"
    groups: tuple[GroupColumn, ...] = ()


@dataclass(frozen=True)
class JobResult:
    """End of a training: a release with its mode, or the reason why there is none; ``features``
    are the sets that it joined, as ``NAME@N``.
    """

    ok: bool
    reason: str
    mode: str = ""
    mode_reason: str = ""
    features: tuple[str, ...] = ()


def start(
    folder: Path, job: TrainingJob, workers: Workers, limits: ProcessLimits, *, foreign: bool
) -> tuple[WorkerProcess, Path]:
    """Start the worker of a folder that was prepared.

    Args:
        folder: of the attempt.
        job: what :func:`prepare` wrote there.
        workers: starts it.
        limits: time, memory and output of the worker and all that it starts.
        foreign: it loads what others than this machine's operator made.

    Returns:
        The worker, and its folder.
    """
    work = workers.new_folder()
    write_atomic(folder / WORK, str(work).encode())
    try:
        return _started(folder, work, job, workers, limits, foreign=foreign), work
    except BaseException:
        clear_work(folder)
        raise


def _started(
    folder: Path,
    work: Path,
    job: TrainingJob,
    workers: Workers,
    limits: ProcessLimits,
    *,
    foreign: bool,
) -> WorkerProcess:
    for name in ("fresh.npz", "held.npz", "history.npz", "parent.state"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, work / name)
    shutil.copytree(folder / OUT, work / OUT)
    if (folder / FEATURES).exists():
        shutil.copytree(folder / FEATURES, work / FEATURES)
    if job.cloud is not None:
        shutil.copytree(job.cloud, work / CLOUD)
        job = replace(job, cloud=str(work / CLOUD))
    write_atomic(work / "job.json", encode(job))
    return workers.start(
        "cloud_hub.runs.worker", [], work, folder / "log.txt", limits,
        reads=_reads(job), foreign=foreign, seed=job.seed,
    )  # fmt: skip


def _reads(job: TrainingJob) -> list[Path]:
    """Files of the operator's: the code of the training, and what its command names."""
    paths = [Path(job.path)] if job.path is not None else []
    named = (Path(word) for word in job.command or ())
    return [*paths, *(p for p in named if p.is_absolute() and p.is_file())]


def clear_work(folder: Path) -> None:
    """Remove the folder of the worker of an attempt, if it is still there."""
    noted = folder / WORK
    if noted.exists():
        work = Path(noted.read_text())
        if work.name.startswith(PREFIX):
            Workers.remove(work)
        noted.unlink()


def prepare(
    folder: Path, job: TrainingJob, fresh: Dataset, history: Dataset | None, state: bytes | None
) -> None:
    """Write the files that the worker reads.

    Args:
        folder: of the attempt; must not exist.
        job: the training to be done.
        fresh: labelled rows [N, columns] that devices shared.
        history: the dataset ``train``, if there is one.
        state: state of the parent's training, if there is any.
    """
    (folder / OUT).mkdir(parents=True)
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
        write_atomic(folder / "parent.state", state)
    write_atomic(folder / "job.json", encode(job))  # last: a folder with a job is complete


def held_back(rows: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the rows [N] that are kept from training: by the hash of their values, so that copies of
    one row never stand on both sides.
    """
    limit = int(HELD_SHARE * 256)
    # The first byte of a hash is uniform over 0 to 255.
    first = [hashlib.sha256(np.ascontiguousarray(row).tobytes()).digest()[0] for row in rows]
    return np.array(first, dtype=np.int64) < limit


def held_rows(folder: Path) -> Dataset:
    """Return the rows that :func:`prepare` kept from training."""
    return Dataset.from_bytes((folder / "held.npz").read_bytes())


def find_model(folder: Path) -> Path | None:
    """Return the model that a command or a pipeline left, if it did."""
    paths = (folder / OUT / name for name in MODELS)
    return next((path for path in paths if path.exists()), None)


def result(folder: Path) -> JobResult | None:
    """Return the result of a worker, ``None`` if it did not get to its end."""
    path = folder / "result.json"
    return decode(JobResult, path.read_bytes(), limit=1 << 20) if path.exists() else None
