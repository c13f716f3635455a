"""Your own model on a device, without any hub: train, convert, predict.

    python -m examples.bring_your_own_model [FOLDER]

Put any fitted scikit-learn classifier, regressor or Pipeline in the place of the one below.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from converters import ConversionError, convert
from converters.certification.report import certificate_table
from edge_sdk import EdgeDevice


def train() -> tuple[Any, Any, Any]:
    """A model, and rows with labels that it has not seen."""
    X, y = load_wine(return_X_y=True)
    X, held_out, y, truth = train_test_split(X, y, random_state=0, stratify=y)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), held_out, truth


def main(folder: Path) -> int:
    """Convert into ``folder`` and predict from it; 1 if the model cannot be converted."""
    model, X, y = train()
    try:
        release = convert(model, X, y, name="wine", out=folder / "wine-1.0", progress=print)
    except ConversionError as refusal:
        print(refusal)
        return 1
    print(certificate_table(release))
    with EdgeDevice.offline(release.folder) as device:
        answer = device.predict(X[0])
        labels = np.asarray(device.predict_batch(X).labels)
    print(f"\nfirst row: class {answer.label}, confidence {answer.confidence:.3f}")
    print(f"accuracy on the device's runtime: {(labels == y).mean():.3f}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch)))
