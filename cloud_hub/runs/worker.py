"""The training process of one run: ``python -m cloud_hub.runs.worker``, started by the launcher.

Reads the folder that it is in (see ``jobs``), calls the user's function or command, converts the
model, and writes ``next.state``, ``release`` and, last of all, ``result.json``: a run without a
result has failed, whatever else it left. Its steps are noted in ``steps.json``; a run that is taken
up at a later step begins with what an earlier attempt trained. States and models are unpickled here
and nowhere else: the process has no rights that they could use (see :mod:`cloud_hub.isolation`).
"""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset, stacked
from cloud_hub.data.writing import written
from cloud_hub.features.snapshot import read_session_sets, read_snapshot
from cloud_hub.features.training import TrainingFeatures
from cloud_hub.isolation.kernel import end_with_parent
from cloud_hub.runs import jobs
from cloud_hub.runs.context import LabelledRows, Mode, Trained, TrainingContext
from cloud_hub.runs.continuity import mode_after
from cloud_hub.runs.entry_point import function_of
from cloud_hub.runs.jobs import JobResult, TrainingJob
from cloud_hub.runs.own_figures import figures
from cloud_hub.runs.steps.recorder import StepRecorder, WorkerStep, as_metrics
from cloud_hub.runs.trained import TrainedFile, keep, kept
from converters import ConversionError, convert
from converters.certification.verify import verify
from converters.sources.onnx_signature import OutputKind
from edge_sdk.contract.codec import decode
from edge_sdk.contract.manifest import Task
from edge_sdk.model.release import Release
from edge_sdk.system.files import write_atomic

_OUTPUT: Final[Mapping[Task, OutputKind]] = {"multilabel": "multilabel", "regression": "values"}
"""Meaning of the output of a file, by the task of its parent. Whether a classifier gives logits or
probabilities its answers to labelled rows show."""


def main(folder: Path) -> int:
    """Run the job in ``folder``; 0 if there is a release at the end."""
    job = jobs.job_of(folder)
    try:
        result = _run(folder, job)
    except ConversionError as error:
        result = JobResult(ok=False, reason=f"conversion: {error}")
    except BaseException as error:  # whatever the user's code does, the run gets its reason
        traceback.print_exc()
        result = JobResult(ok=False, reason=f"{type(error).__name__}: {error}")
    write_atomic(folder / "result.json", json.dumps(asdict(result)).encode())
    return 0 if result.ok else 1


def _run(folder: Path, job: TrainingJob) -> JobResult:
    random.seed(job.seed)
    np.random.seed(job.seed % (1 << 32))  # all that NumPy takes
    steps = StepRecorder(folder)
    # A kept model is of the code's own classes.
    if job.entry and job.path and job.path not in sys.path:
        sys.path.insert(0, job.path)
    if job.begin in ("train", "evaluate"):
        trained, done = _trained(folder, job, steps)
    else:
        trained, done = kept(folder)
    mode: Mode = "stateful" if done.mode == "stateful" else "stateless"
    if job.begin != "certify":
        with steps.step("convert") as step:
            release = _convert(folder, job, trained, mode)
            step.metrics = {**as_metrics(release.manifest.metrics), "bytes": _bytes(release)}
    with steps.step("certify") as step:
        _certify(folder, step)
    return JobResult(
        ok=True, reason="", mode=mode, mode_reason=done.mode_reason, features=done.features
    )


def _trained(folder: Path, job: TrainingJob, steps: StepRecorder) -> tuple[Trained, TrainedFile]:
    """Train, keep the model, and see how good it is."""
    with steps.step("train") as step:
        context = _context(folder, job)
        trained = _checked(_train(folder, job, context))
        keep(folder, trained, *_mode(job, context, trained), context.store.joined)
        step.metrics = {"rows": float(len(context.fresh))}
    with steps.step("evaluate") as step:
        step.metrics = figures(
            trained, trained.check or _held(folder), task=job.task, trust=job.trust
        )
        for name, value in step.metrics.items():
            print(f"{name}: {value:.6g}", flush=True)
    # As it was kept: a conversion that is taken up again gets nothing else.
    return trained, decode(TrainedFile, (folder / jobs.TRAINED).read_bytes(), limit=1 << 20)


def _certify(folder: Path, step: WorkerStep) -> None:
    """Run the release as a device will: digests, golden vectors, latency."""
    done = verify(Release.open(folder / "release"))
    print(done.report(), flush=True)
    step.metrics = {"golden_rows": float(done.golden_rows), "probe_p99_us": done.probe_p99_us}


def _bytes(release: Release) -> float:
    return float(release.model_path.stat().st_size)


def _train(folder: Path, job: TrainingJob, context: TrainingContext) -> Any:
    if job.entry is not None:
        return function_of(job.entry, job.path)(context)
    if job.command is not None:
        _run_command(folder, job, context)
    path = jobs.find_model(folder)
    if path is None:
        raise FileNotFoundError(f"train: expected one of {jobs.MODELS} in {folder / jobs.OUT}")
    state = folder / jobs.OUT / "state"
    check = _check(folder / jobs.OUT)
    return Trained(path, state.read_bytes() if state.exists() else None, check)


def _run_command(folder: Path, job: TrainingJob, context: TrainingContext) -> None:
    """The user's command finds its data by ``EDGE_RUN`` and leaves its model in ``EDGE_OUT``."""
    assert job.command is not None
    described = {
        name: value
        for name, value in asdict(context).items()
        if name not in ("fresh", "history", "state", "rehearsal", "store")
    }
    described["rehearsal_rows"] = (
        int(context.rehearsal.sum()) if context.rehearsal is not None else 0
    )
    write_atomic(folder / "context.json", json.dumps(described).encode())
    _write_arrays(folder)
    names = {"EDGE_RUN": str(folder.resolve()), "EDGE_OUT": str((folder / jobs.OUT).resolve())}
    done = subprocess.run(
        job.command,
        env={**os.environ, **names},
        cwd=job.path or folder,
        stdin=subprocess.DEVNULL,
        preexec_fn=end_with_parent,  # its grandchildren would outlive a hub that is killed
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"train: the command ended with status {done.returncode}")


def _write_arrays(folder: Path) -> None:
    """Write the rows as ``.npz`` too, where they are numbers: a program may have NumPy alone."""
    for name in (jobs.FRESH, jobs.HISTORY):
        path = folder / name
        if path.exists() and (data := Dataset.read(path)).numeric:
            path.with_suffix(".npz").write_bytes(written(data, "npz"))


def _checked(returned: Any) -> Trained:
    """Return the training's result if it is a model; raises TypeError."""
    trained = returned if isinstance(returned, Trained) else Trained(returned)
    if trained.path is None and not hasattr(trained.model, "predict"):
        kind = type(trained.model).__name__
        raise TypeError(f"train: expected a fitted estimator, a path or Trained, got {kind}")
    return trained


def _mode(job: TrainingJob, context: TrainingContext, trained: Trained) -> tuple[Mode, str]:
    if context.mode == "stateful" and trained.restarted:
        return "stateless", trained.restarted
    mode, why = mode_after(context.mode, _parent(context), trained.model, job.columns)
    return mode, why or context.mode_reason


def _parent(context: TrainingContext) -> Any:
    """The parent's estimator, ``None`` if its state is something else."""
    try:
        state = pickle.loads(context.state) if context.state is not None else None
    except Exception:  # a user's own state may be anything
        return None
    return state if hasattr(state, "predict") else None


def _convert(folder: Path, job: TrainingJob, trained: Trained, mode: Mode) -> Release:
    held = trained.check or _held(folder)
    # The fingerprint is of all rows that were used, if they have the same columns.
    used = LabelledRows.of(_used(folder))
    return convert(
        trained.path or trained.model,
        held.X,
        held.y,
        name=job.model,
        version=job.versions[mode],
        parent=job.parent,
        mode=mode,
        out=folder / "release",
        data=(used.X, used.y),
        profile=_profiled(folder).X if trained.check is None else held.X,
        classes=(job.classes or None) if _is_onnx(trained) else None,
        output=_OUTPUT.get(job.task) if _is_onnx(trained) else None,
        groups=job.groups,
        calibrate_against=_cloud(job, trained),
        variants=job.variants,
        trust=job.trust,
        progress=print,
    )


def _cloud(job: TrainingJob, trained: Trained) -> Release | None:
    return Release.open(job.cloud) if job.cloud and not _is_onnx(trained) else None


def _is_onnx(trained: Trained) -> bool:
    return trained.path is not None and trained.path.suffix == ".onnx"


def _context(folder: Path, job: TrainingJob) -> TrainingContext:
    fresh = _rows(folder / jobs.FRESH)
    assert fresh is not None
    state = folder / jobs.PARENT_STATE
    return TrainingContext(
        model=job.model,
        run=job.run,
        mode="stateful" if job.mode == "stateful" else "stateless",
        mode_reason=job.mode_reason,
        parent=job.parent,
        window=job.window,
        fresh=fresh,
        history=_rows(folder / jobs.HISTORY),
        state=state.read_bytes() if state.exists() else None,
        seed=job.seed,
        datasets=job.datasets,
        rehearsal=_rehearsal(folder),
        store=TrainingFeatures(read_snapshot(folder), read_session_sets(folder)),
    )


def _used(folder: Path) -> Dataset:
    """The rows that a training was given: fresh ones, and the history that has their columns."""
    fresh = Dataset.read(folder / jobs.FRESH)
    if not (folder / jobs.HISTORY).exists():
        return fresh
    history = Dataset.read(folder / jobs.HISTORY)
    return stacked([fresh, history]) if history.names == fresh.names else fresh


def _profiled(folder: Path) -> Dataset:
    """The rows that devices shared: old ones would make the inputs of now look like drift."""
    fresh, old = Dataset.read(folder / jobs.FRESH), _rehearsal(folder)
    fresh = fresh if old is None else fresh.take(~old)
    return stacked([fresh, Dataset.read(folder / jobs.HELD)])


def _held(folder: Path) -> LabelledRows:
    held = _rows(folder / jobs.HELD)
    assert held is not None
    return held


def _rehearsal(folder: Path) -> NDArray[np.bool_] | None:
    path = folder / jobs.REHEARSAL
    return np.load(path, allow_pickle=False) if path.exists() else None


def _check(out: Path) -> LabelledRows | None:
    """The rows that a command left to check its model on: ``check.npz``, ``.parquet``, ``.csv``."""
    left = sorted(path for path in out.iterdir() if path.stem == jobs.CHECK)
    return _rows(left[0]) if left else None


def _rows(path: Path) -> LabelledRows | None:
    if not path.exists():
        return None
    return LabelledRows.of(Dataset.read(path, name=path.name))


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
