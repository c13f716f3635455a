"""NannyML's bundled employment data, and its own estimate on it.

``python employment.py INPUT.npz OUTPUT.npz``: OUTPUT has confidence and correctness of reference
and analysis rows, and the accuracies that NannyML's CBPE estimates for chunks of ``size`` rows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nannyml
import numpy as np
import pandas as pd


def main() -> None:
    """Read, measure, write."""
    with np.load(sys.argv[1]) as file:
        size = int(file["size"])
    data = Path(nannyml.__file__).parent / "datasets" / "data"
    reference = pd.read_parquet(data / "employment_MA_reference.pq")
    analysis = pd.read_parquet(data / "employment_MA_analysis.pq")
    labelled = analysis.merge(pd.read_parquet(data / "employment_MA_analysis_target.pq"), on="id")
    estimator = nannyml.CBPE(
        problem_type="classification_binary",
        y_pred_proba="predicted_probability",
        y_pred="prediction",
        y_true="employed",
        metrics=["accuracy"],
        chunk_size=size,
    )
    estimator.fit(reference.copy())
    estimates = estimator.estimate(analysis.copy()).filter(period="analysis").to_df()
    np.savez(
        sys.argv[2],
        nannyml=estimates[("accuracy", "value")].to_numpy(dtype=float),
        reference_confidence=_confidence(reference),
        reference_right=_right(reference),
        confidence=_confidence(labelled),
        right=_right(labelled),
    )


def _confidence(rows: Any) -> Any:
    p = rows["predicted_probability"].to_numpy(dtype=float)
    return np.where(rows["prediction"].to_numpy() == 1, p, 1 - p)


def _right(rows: Any) -> Any:
    return (rows["prediction"] == rows["employed"]).to_numpy()


if __name__ == "__main__":
    main()
