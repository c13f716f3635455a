"""Accuracy without labels, on the employment data that NannyML brings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row
from benchmarks.statistics.peers import running
from cloud_hub.statistics.detectors.label_free import EstimatedAccuracy, estimated_accuracy

SIZE: Final = 2_000
GOAL: Final = 0.0075


def run(effort: Effort) -> list[Row]:
    """Every window of the analysis period, whatever the effort: it takes a second."""
    if not running.available():
        return [Row("mean absolute error of the estimate", f"≤ {GOAL}", running.ABSENT)]
    with tempfile.TemporaryDirectory() as folder:
        peers = running.run("employment.py", Path(folder), size=np.array(SIZE))
    right = peers["right"]
    starts = range(0, len(right) - SIZE + 1, SIZE)
    truth = np.array([right[s : s + SIZE].mean() for s in starts])
    ours = _estimates(peers, list(starts))
    error = float(np.abs(np.array([e.accuracy for e in ours]) - truth).mean())
    pairs = zip(ours, truth, strict=True)
    inside = np.mean([e.low <= t <= e.high for e, t in pairs])
    theirs = float(np.abs(peers["nannyml"][: len(truth)] - truth).mean())
    constant = float(np.abs(peers["reference_right"].mean() - truth).mean())
    about = f"{len(truth)} windows of {SIZE:,}: mean absolute error of the estimated accuracy"
    return [
        Row(f"{about}, from 32 uploaded counts", f"≤ {GOAL}", f"{error:.5f}", error <= GOAL),
        Row("its 95% intervals hold the accuracy", "", f"{inside:.1%} of the windows"),
        Row("NannyML's CBPE, from every probability", "", f"{theirs:.5f}"),
        Row("always the accuracy of the reference rows", "", f"{constant:.5f}"),
    ]


def _estimates(peers: dict[str, NDArray[Any]], starts: list[int]) -> list[EstimatedAccuracy]:
    reference = peers["reference_confidence"]
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, 33), method="inverted_cdf"))
    held = _binned(reference, edges)
    right = _binned(reference[peers["reference_right"]], edges)[:-2]
    estimates = []
    for start in starts:
        window = _binned(peers["confidence"][start : start + SIZE], edges)
        estimate = estimated_accuracy(held, right, window)
        assert estimate is not None
        estimates.append(estimate)
    return estimates


def _binned(values: NDArray[Any], edges: NDArray[Any]) -> list[int]:
    inside = values[(values >= edges[0]) & (values <= edges[-1])]
    counts: list[int] = np.histogram(inside, edges)[0].tolist()
    return [*counts, 0, len(values) - len(inside)]


PART = Part(
    "Accuracy without labels",
    "The employment data (Massachusetts) that the package nannyml brings: reference 2015, analysis "
    "2016 to 2018, in windows of 2,000 rows.",
    run,
)
