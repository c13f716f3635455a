"""The folder of one attempt: files that a worker gets copies of, and what is taken from it.

The worker has a folder of its own (see :mod:`cloud_hub.isolation`) with copies of what it reads;
:mod:`cloud_hub.runs.results` takes what it left.

::

    job.json                              the training to be done
    fresh.parquet held.parquet            rows that devices shared; ``held`` is for the gate alone
    history.parquet                       the dataset ``train``
    rehearsal.npy                         which rows of ``fresh`` are old ones
    parent.state                          state of the parent's training
    features/                             sets of features (see cloud_hub.features.snapshot)
    code.zip                              the training's code, where it is not the one in place
    out/                                  left by a command or a pipeline: model.*, state
    steps.json trained.* next.state       taken from the worker: its steps, what it trained
    release/ result.json                  taken from the worker, last
    log.txt                               its output
    work                                  path of the worker's folder, while it runs
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset, stacked
from cloud_hub.data.row_hashes import row_hashes
from cloud_hub.engine.remote_process import RemoteProcess, start_remote
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.isolation.workers import PREFIX, WorkerProcess, Workers
from cloud_hub.runs.code.tree import FOLDER as CODE_FOLDER
from cloud_hub.runs.code.tree import read_code, unpack
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.manifest import Label, Task
from edge_sdk.system.files import write_atomic

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine

HELD_SHARE: Final = 0.25
"""Share of the fresh rows that is kept from training, for the offline gate."""

JOB: Final = "job.json"
FEATURES: Final = "features"
"""Sets of features; :mod:`cloud_hub.features.snapshot` says what is in it."""
FRESH: Final = "fresh.parquet"
HELD: Final = "held.parquet"
HISTORY: Final = "history.parquet"
CHECK: Final = "check"
"""Rows that a command or a pipeline leaves beside its model: a file of any kind, by this name."""

REHEARSAL: Final = "rehearsal.npy"
PARENT_STATE: Final = "parent.state"
CODE: Final = "code.zip"
KEPT_CODE: Final = "pipeline"
"""Folder of the worker's in which kept code is put."""

TRAINED: Final = "trained.json"
MODEL: Final = "trained.model"
TRAINED_CHECK: Final = "trained.parquet"
NEXT_STATE: Final = "next.state"
TRAINED_FILES: Final = (MODEL, TRAINED_CHECK, NEXT_STATE, TRAINED)
"""What a conversion needs of a training, see :mod:`cloud_hub.runs.trained`."""

TAKEN: Final = ("result.json", "steps.json", "release", *TRAINED_FILES)
"""What comes back from a node."""

ATTEMPT: Final = "attempt-{}"
"""Folder of an attempt, in that of its run."""

OUT: Final = "out"
WORK: Final = "work"
CLOUD: Final = "cloud"
ROWS: Final = (FRESH, HELD, HISTORY, REHEARSAL, TRAINED_CHECK, f"{OUT}/{CHECK}*")
"""Patterns of files with rows: kept as long as the policy keeps what devices shared."""

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
    are what the parent declares; ``datasets`` are the versions that it trains on, as ``NAME@N``;
    ``begin`` is the first step that is taken, and ``variants`` are those that a conversion tries.
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
    datasets: tuple[str, ...] = ()
    begin: str = "train"
    variants: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RunFiles:
    """What an attempt is given beside its job.

    Attributes:
        fresh: labelled rows that devices shared.
        history: the dataset ``train``, if there is one.
        state: state of the parent's training, if there is any.
        rehearsal: old rows that are mixed into those that are trained on.
        code: ZIP of the training's code, where another one is in place.
        trained: folder of an earlier attempt, whose trained model is converted.
        features: folder of an earlier attempt, whose sets of features are used again.
    """

    fresh: Dataset
    history: Dataset | None = None
    state: bytes | None = None
    rehearsal: Dataset | None = None
    code: bytes | None = None
    trained: Path | None = None
    features: Path | None = None


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
    folder: Path,
    job: TrainingJob,
    workers: Workers,
    limits: ProcessLimits,
    *,
    foreign: bool,
    engine: Engine | None = None,
) -> tuple[WorkerProcess | RemoteProcess, Path]:
    """Start the worker of a folder that was prepared.

    Args:
        folder: of the attempt.
        job: what :func:`prepare` wrote there.
        workers: starts it.
        limits: time, memory and output of the worker and all that it starts.
        foreign: it loads what others than this machine's operator made.
        engine: has it run on a node; ``None``: here.

    Returns:
        The worker, and its folder.
    """
    work = workers.new_folder()
    write_atomic(folder / WORK, str(work).encode())
    try:
        return _started(folder, work, job, workers, limits, engine, foreign=foreign), work
    except BaseException:
        clear_work(folder)
        raise


def _started(
    folder: Path,
    work: Path,
    job: TrainingJob,
    workers: Workers,
    limits: ProcessLimits,
    engine: Engine | None,
    *,
    foreign: bool,
) -> WorkerProcess | RemoteProcess:
    for name in (FRESH, HELD, HISTORY, REHEARSAL, PARENT_STATE, *TRAINED_FILES):
        if (folder / name).exists():
            shutil.copyfile(folder / name, work / name)
    shutil.copytree(folder / OUT, work / OUT)
    if (folder / FEATURES).exists():
        shutil.copytree(folder / FEATURES, work / FEATURES)
    if job.cloud is not None:
        shutil.copytree(job.cloud, work / CLOUD)
        job = replace(job, cloud=str(work / CLOUD))
    if (folder / CODE).exists():
        job = _with_code((folder / CODE).read_bytes(), work, job)
    if engine is not None:
        write_atomic(work / JOB, encode(_for_node(work, job)))
        return start_remote(
            engine, "cloud_hub.runs.worker", work, folder / "log.txt", limits, workers.settings,
            takes=TAKEN, foreign=foreign, seed=job.seed,
        )  # fmt: skip
    write_atomic(work / JOB, encode(job))
    return workers.start(
        "cloud_hub.runs.worker", [], work, folder / "log.txt", limits,
        reads=_reads(job, work), foreign=foreign, seed=job.seed,
    )  # fmt: skip


def _for_node(work: Path, job: TrainingJob) -> TrainingJob:
    """Put the training's code into the folder, and return the job with paths from there."""
    if job.path is not None and not Path(job.path).is_relative_to(work):
        tree = read_code(Path(job.path), job.entry, job.command)
        job = _with_code(tree.to_zip(), work, replace(job, command=tree.command))
    below = str(work)
    # The command runs in the folder of its code, the rest in the one above.
    above = "../.." if job.path is not None else "."
    command = job.command and tuple(word.replace(below, above) for word in job.command)
    return replace(
        job, command=command,
        path=job.path and str(Path(job.path).relative_to(work)),
        cloud=job.cloud and str(Path(job.cloud).relative_to(work)),
    )  # fmt: skip


def _with_code(archive: bytes, work: Path, job: TrainingJob) -> TrainingJob:
    """Put kept code into the worker's folder, and return the job that calls it there."""
    unpack(archive, work / KEPT_CODE)
    place = str(work / KEPT_CODE)
    command = job.command and tuple(word.replace("{code}", place) for word in job.command)
    return replace(job, path=str(work / KEPT_CODE / CODE_FOLDER), command=command)


def _reads(job: TrainingJob, work: Path) -> list[Path]:
    """Files of the operator's: the code of the training, and what its command names."""
    paths = [Path(job.path)] if job.path is not None else []
    named = (Path(word) for word in job.command or ())
    paths += [path for path in named if path.is_absolute() and path.is_file()]
    return [path for path in paths if not path.is_relative_to(work)]


def clear_work(folder: Path) -> None:
    """Remove the folder of the worker of an attempt, if it is still there."""
    noted = folder / WORK
    if noted.exists():
        work = Path(noted.read_text())
        if work.name.startswith(PREFIX):
            Workers.remove(work)
        noted.unlink()


def prepare(folder: Path, job: TrainingJob, files: RunFiles) -> None:
    """Write the files that the worker reads.

    Args:
        folder: of the attempt; it may hold sets of features.
        job: the training to be done.
        files: what it is given.
    """
    (folder / OUT).mkdir(parents=True)
    held = held_back(files.fresh)
    parts = {FRESH: files.fresh.take(~held).labelled(), HELD: files.fresh.take(held)}
    if files.rehearsal is not None:
        parts[FRESH], old = mixed(parts[FRESH], files.rehearsal, job.seed)
        write_atomic(folder / REHEARSAL, _array_bytes(old))
    if files.history is not None and files.history.label is not None:
        parts[HISTORY] = files.history
    for name, data in parts.items():
        write_atomic(folder / name, data.labelled().to_bytes())
    for name, raw in ((PARENT_STATE, files.state), (CODE, files.code)):
        if raw is not None:
            write_atomic(folder / name, raw)
    if files.features is not None and (files.features / FEATURES).exists():
        shutil.copytree(files.features / FEATURES, folder / FEATURES)
    if files.trained is not None:
        for name in TRAINED_FILES:
            if (files.trained / name).exists():
                shutil.copyfile(files.trained / name, folder / name)
    write_atomic(folder / JOB, encode(job))  # last: a folder with a job is complete


def mixed(fresh: Dataset, old: Dataset, seed: int) -> tuple[Dataset, NDArray[np.bool_]]:
    """Return both in random order, and which rows [N] are old.

    Mixed, since a training that takes rows in their order would see the old ones last.
    """
    order = np.random.default_rng(seed).permutation(len(fresh) + len(old))
    return stacked([fresh, old]).take(order), order >= len(fresh)


def _array_bytes(array: NDArray[np.bool_]) -> bytes:
    raw = io.BytesIO()
    np.save(raw, array, allow_pickle=False)
    return raw.getvalue()


def held_back(data: Dataset) -> NDArray[np.bool_]:
    """Mark the rows [N] that are kept from training: by the hash of their features, so that copies
    of one row never stand on both sides.
    """
    # The first byte of a hash is uniform over 0 to 255.
    held: NDArray[np.bool_] = (row_hashes(data.features) >> np.uint64(56)) < HELD_SHARE * 256
    return held


def held_rows(folder: Path) -> Dataset:
    """Return the rows that :func:`prepare` kept from training.

    Raises:
        Conflict: they were deleted, as the policy's retention says.
    """
    if not (folder / HELD).exists():
        raise Conflict("its rows were deleted by retention; begin at collect")
    return Dataset.read(folder / HELD)


def forget_rows(folder: Path) -> bool:
    """Delete the rows of the attempts at a run; tell whether there were any.

    Args:
        folder: of the run, with those of its attempts.
    """
    found = [path for name in ROWS for path in folder.glob(f"*/{name}")]
    for path in found:
        path.unlink(missing_ok=True)
    for path in folder.glob(f"*/{FEATURES}"):
        shutil.rmtree(path, ignore_errors=True)
    return bool(found)


def attempts_of(folder: Path, count: int) -> list[Path]:
    """Return the folders of the attempts at a run, the newest first.

    Args:
        folder: of the run, with those of its attempts.
        count: of its attempts.
    """
    return [folder / ATTEMPT.format(number) for number in range(count, 0, -1)]


def newest_trained(attempts: Sequence[Path], run: int) -> Path:
    """Return the folder of the newest attempt at a run that has a trained model.

    A later one has none where the hub was killed before it was given the copy.

    Args:
        attempts: their folders, the newest first.
        run: its number, for messages.

    Raises:
        NotFound: no attempt has one.
    """
    for folder in attempts:
        if (folder / TRAINED).exists():
            return folder
    raise NotFound(f"run {run}: its training left no model to convert; --from train")


def job_of(folder: Path) -> TrainingJob:
    """Return the training to be done in a folder that was prepared."""
    return decode(TrainingJob, (folder / JOB).read_bytes(), limit=1 << 20)


def find_model(folder: Path) -> Path | None:
    """Return the model that a command or a pipeline left, if it did."""
    paths = (folder / OUT / name for name in MODELS)
    return next((path for path in paths if path.exists()), None)


def result(folder: Path) -> JobResult | None:
    """Return the result of a worker, ``None`` if it did not get to its end."""
    path = folder / "result.json"
    return decode(JobResult, path.read_bytes(), limit=1 << 20) if path.exists() else None
