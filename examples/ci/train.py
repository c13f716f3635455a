"""Train `wine`: in CI from the data of the repository, at the hub from what devices shared.

python train.py MODEL.skops HELD-OUT.npz     # CI
python train.py                              # a run of the hub: EDGE_RUN, EDGE_OUT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def fit(X: Any, y: Any) -> Any:
    """The model."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)


def in_ci(model: Path, held_out: Path) -> None:
    """Train on a part of the data, keep the rest for the conversion to check on."""
    X, y = load_wine(return_X_y=True)
    X, X_held, y, y_held = train_test_split(X, y, random_state=0, stratify=y)
    skops.io.dump(fit(X, y), model)
    np.savez(held_out, X=X_held, y=y_held)


def at_the_hub(run: Path, out: Path) -> None:
    """Train on the fresh rows of a run, and on the old ones."""
    parts = [np.load(run / "fresh.npz")]
    if (run / "history.npz").exists():
        parts.append(np.load(run / "history.npz"))
    X, y = (np.concatenate([part[name] for part in parts]) for name in ("X", "y"))
    skops.io.dump(fit(X, y), out / "model.skops")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        in_ci(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        at_the_hub(Path(os.environ["EDGE_RUN"]), Path(os.environ["EDGE_OUT"]))
