"""Train `wine`: in CI from the data of the repository, at the hub from what devices shared.

python train.py MODEL.skops     # CI
python train.py                 # a run of the hub: EDGE_RUN, EDGE_OUT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
LABEL = "cultivar"


def fit(rows: pd.DataFrame, labels: Any) -> Any:
    """The model."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)


def features_and_labels(path: Path) -> tuple[pd.DataFrame, Any]:
    """Return the rows of a table and their labels, the last column."""
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    labels = table.pop(table.columns[-1])
    return table, labels.astype(int).to_numpy()


def in_ci(model: Path) -> None:
    """Train on the data of the repository."""
    skops.io.dump(fit(*features_and_labels(HERE / "wine.csv")), model)


def at_the_hub(run: Path, out: Path) -> None:
    """Train on the fresh rows of a run, and on the old ones."""
    names = ("fresh.parquet", "history.parquet")
    parts = [features_and_labels(run / name) for name in names if (run / name).exists()]
    rows = pd.concat([part for part, _ in parts])
    skops.io.dump(
        fit(rows, [label for _, labels in parts for label in labels]), out / "model.skops"
    )


if __name__ == "__main__":
    if len(sys.argv) == 2:
        in_ci(Path(sys.argv[1]))
    else:
        at_the_hub(Path(os.environ["EDGE_RUN"]), Path(os.environ["EDGE_OUT"]))
