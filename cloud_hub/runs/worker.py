"""The training process of one run: ``python -m cloud_hub.runs.worker``, started by the launcher.

Reads the folder that it is in (see ``jobs``), calls the user's function or command, converts the
model, and writes ``release``, ``next.state`` and, last of all, ``result.json``: a run without a
result has failed, whatever else it left. States and models are unpickled here and nowhere else: the
process has no rights that they could use (see :mod:`cloud_hub.isolation`).
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

from cloud_hub.features.snapshot import read_snapshot
from cloud_hub.features.training import TrainingFeatures
from cloud_hub.isolation.kernel import end_with_parent
from cloud_hub.registry.dataset import Dataset
from cloud_hub.runs import jobs
from cloud_hub.runs.context import LabelledRows, Mode, Trained, TrainingContext
from cloud_hub.runs.continuity import mode_after
from cloud_hub.runs.entry_point import function_of
from cloud_hub.runs.jobs import JobResult, TrainingJob
from converters import ConversionError, convert
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
    job = decode(TrainingJob, (folder / "job.json").read_bytes(), limit=1 << 20)
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
    context = _context(folder, job)
    trained = _checked(_train(folder, job, context))
    mode, why = _mode(job, context, trained)
    _convert(folder, job, context, trained, mode)
    state = trained.state
    # A file has no estimator to go on from, unless the training left a state of its own.
    if state is None and trained.path is None:
        state = pickle.dumps(trained.model)
    if state is not None:
        write_atomic(folder / "next.state", state)
    joined = tuple(sorted(context.store.joined))
    return JobResult(ok=True, reason="", mode=mode, mode_reason=why, features=joined)


def _train(folder: Path, job: TrainingJob, context: TrainingContext) -> Any:
    if job.entry is not None:
        return function_of(job.entry, job.path)(context)
    if job.command is not None:
        _run_command(folder, job, context)
    path = jobs.find_model(folder)
    if path is None:
        raise FileNotFoundError(f"train: expected one of {jobs.MODELS} in {folder / jobs.OUT}")
    state = folder / jobs.OUT / "state"
    check = _rows(folder / jobs.OUT / "check.npz")
    return Trained(path, state.read_bytes() if state.exists() else None, check)


def _run_command(folder: Path, job: TrainingJob, context: TrainingContext) -> None:
    """The user's command finds its data by ``EDGE_RUN`` and leaves its model in ``EDGE_OUT``."""
    assert job.command is not None
    described = {
        name: value
        for name, value in asdict(context).items()
        if name not in ("fresh", "history", "state", "store")
    }
    write_atomic(folder / "context.json", json.dumps(described).encode())
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


def _convert(
    folder: Path, job: TrainingJob, context: TrainingContext, trained: Trained, mode: Mode
) -> Release:
    held = trained.check or _rows(folder / "held.npz")
    assert held is not None
    fresh, history = context.fresh, context.history
    same = history is not None and history.X.shape[1:] == fresh.X.shape[1:]
    # The fingerprint is of all rows that were used, if they have the same columns.
    used = [fresh, history] if history is not None and same else [fresh]
    return convert(
        trained.path or trained.model,
        held.X,
        held.y,
        name=job.model,
        version=job.versions[mode],
        parent=job.parent,
        mode=mode,
        out=folder / "release",
        data=(np.concatenate([r.X for r in used]), np.concatenate([r.y for r in used])),
        profile=np.concatenate([fresh.X, held.X]) if trained.check is None else held.X,
        classes=(job.classes or None) if _is_onnx(trained) else None,
        output=_OUTPUT.get(job.task) if _is_onnx(trained) else None,
        groups=job.groups,
        calibrate_against=_cloud(job, trained),
        trust=job.trust,
        progress=print,
    )


def _cloud(job: TrainingJob, trained: Trained) -> Release | None:
    return Release.open(job.cloud) if job.cloud and not _is_onnx(trained) else None


def _is_onnx(trained: Trained) -> bool:
    return trained.path is not None and trained.path.suffix == ".onnx"


def _context(folder: Path, job: TrainingJob) -> TrainingContext:
    fresh = _rows(folder / "fresh.npz")
    assert fresh is not None
    state = folder / "parent.state"
    return TrainingContext(
        model=job.model,
        run=job.run,
        mode="stateful" if job.mode == "stateful" else "stateless",
        mode_reason=job.mode_reason,
        parent=job.parent,
        window=job.window,
        fresh=fresh,
        history=_rows(folder / "history.npz"),
        state=state.read_bytes() if state.exists() else None,
        seed=job.seed,
        store=TrainingFeatures(read_snapshot(folder)),
    )


def _rows(path: Path) -> LabelledRows | None:
    if not path.exists():
        return None
    data = Dataset.from_bytes(path.read_bytes())
    if data.labels is None:
        raise ValueError(f"{path.name}: expected labels y beside X")
    return LabelledRows(data.rows, data.labels)


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
