"""The training process of one run: ``python -m cloud_hub.runs.worker FOLDER``.

Reads ``job.json`` and the data beside it, calls the user's function, converts what it returns, and
writes the folder ``release``, ``state.pkl`` and, last of all, ``result.json``: a run without a
result has failed, whatever else it left.
"""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import traceback
from pathlib import Path
from typing import Any

from cloud_hub.registry.service import Dataset
from cloud_hub.runs.context import Rows, TrainingContext
from converters import ConversionError, convert
from edge_sdk.files import write_atomic
from edge_sdk.release import Release


def main(folder: Path) -> int:
    """Run the job in ``folder``; 0 if there is a release at the end."""
    job = json.loads((folder / "job.json").read_text())
    try:
        result = _run(folder, job)
    except ConversionError as error:
        result = {"ok": False, "reason": f"conversion: {error}"}
    except Exception as error:
        traceback.print_exc()
        result = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
    write_atomic(folder / "result.json", json.dumps(result).encode())
    return 0 if result["ok"] else 1


def _run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    context = _context(folder, job)
    estimator = _function(job["entry"], job["path"])(context)
    if not hasattr(estimator, "predict"):
        raise TypeError(f"train: expected a fitted estimator, got {type(estimator).__name__}")
    held, fresh = _dataset(folder / "held.npz"), context.fresh
    assert held is not None
    convert(
        estimator,
        held.X,
        held.y,
        name=job["model"],
        version=job["version"],
        parent=job["parent"],
        mode=job["mode"],
        out=folder / "release",
        data=(fresh.X, fresh.y),
        profile=_all(fresh, held),
        calibrate_against=Release.open(job["cloud"]) if job["cloud"] else None,
        progress=print,
    )
    write_atomic(folder / "state.pkl", pickle.dumps(estimator))
    return {"ok": True, "reason": ""}


def _context(folder: Path, job: dict[str, Any]) -> TrainingContext:
    fresh = _dataset(folder / "fresh.npz")
    assert fresh is not None
    state = folder / "parent.pkl"
    return TrainingContext(
        model=job["model"],
        mode=job["mode"],
        parent=job["parent"],
        fresh=fresh,
        history=_dataset(folder / "history.npz"),
        state=state.read_bytes() if state.exists() else None,
        seed=job["seed"],
    )


def _dataset(path: Path) -> Rows | None:
    if not path.exists():
        return None
    data = Dataset.from_bytes(path.read_bytes())
    assert data.labels is not None
    return Rows(data.rows, data.labels)


def _all(fresh: Rows, held: Rows) -> Any:
    import numpy as np

    return np.concatenate([fresh.X, held.X])


def _function(entry: str, path: str | None) -> Any:
    """The user's function, from ``module:function``."""
    if path:
        sys.path.insert(0, path)
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
