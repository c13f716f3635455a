"""A trained model between training and conversion, as files: a conversion can be taken up again.

Written and read by workers alone: a model may be a pickle. To the hub these files are bytes.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_hub.data.dataset import Dataset
from cloud_hub.runs import jobs
from cloud_hub.runs.context import LabelledRows, Mode, Trained
from edge_sdk.contract.codec import decode, encode
from edge_sdk.system.files import sha256_file, write_atomic


@dataclass(frozen=True)
class TrainedFile:
    """What ``trained.json`` says: ``suffix`` of a model that is a file, empty for an estimator;
    ``file`` in which the model is, ``sha256`` of it; the mode that the training had in the end;
    the sets of features that it joined, as ``NAME@N``.
    """

    suffix: str
    file: str
    sha256: str
    mode: str
    mode_reason: str
    features: tuple[str, ...] = ()


def keep(folder: Path, trained: Trained, mode: Mode, why: str, features: Iterable[str] = ()) -> str:
    """Write a trained model into the worker's folder; return its SHA-256.

    Args:
        folder: of the worker.
        trained: the training's result.
        mode: of the training, in the end.
        why: it is another mode than was asked for; empty if it is not.
        features: sets that it joined, as ``NAME@N``.

    Raises:
        Exception: whatever pickling an estimator raises.
    """
    state, path = trained.state, trained.path
    # A file has no estimator to go on from, unless the training left a state of its own.
    if state is None and path is None:
        state = pickle.dumps(trained.model)
    if state is not None:
        write_atomic(folder / jobs.NEXT_STATE, state)
    file = jobs.NEXT_STATE
    if path is not None:
        file = jobs.MODEL
        shutil.copyfile(path, folder / file)
    elif trained.state is not None:
        file = jobs.MODEL
        write_atomic(folder / file, pickle.dumps(trained.model))
    if trained.check is not None:
        Dataset.of(trained.check.X, trained.check.y).write(folder / jobs.TRAINED_CHECK)
    digest = sha256_file(folder / file)
    suffix = path.suffix if path is not None else ""
    described = TrainedFile(suffix, file, digest, mode, why, tuple(sorted(features)))
    write_atomic(folder / jobs.TRAINED, encode(described))
    return digest


def kept(folder: Path) -> tuple[Trained, TrainedFile]:
    """Return what :func:`keep` wrote.

    Raises:
        FileNotFoundError: nothing was kept.
    """
    described = decode(TrainedFile, (folder / jobs.TRAINED).read_bytes(), limit=1 << 20)
    path = folder / described.file
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != described.sha256:
        raise ValueError(f"{described.file}: the trained model is damaged; resume from train")
    model: Any = path
    if not described.suffix:
        model = pickle.loads(raw)
    elif path.suffix != described.suffix:  # readers know a format by the end of the name
        model = folder / f"trained-model{described.suffix}"
        shutil.copyfile(path, model)
    check = folder / jobs.TRAINED_CHECK
    rows = LabelledRows.of(Dataset.read(check)) if check.exists() else None
    state = folder / jobs.NEXT_STATE
    return Trained(model, state.read_bytes() if state.exists() else None, rows), described
