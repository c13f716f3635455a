"""Repairs of estimators that an exporter would otherwise get silently wrong.

The repaired copy answers exactly as the original does, for float32 rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.trees.floats import floor_float32


def repaired(estimator: Any) -> Any:
    """Return a copy of a fitted estimator that exports without loss."""
    copied = copy.deepcopy(estimator)
    for part in parts_of(copied):
        _floor_thresholds(part)
        if type(part).__name__ == "VotingClassifier":
            part.flatten_transform = False  # shapes transform() alone; the exporter refuses True
    return copied


def parts_of(estimator: Any) -> Iterator[Any]:
    """Yield the estimator and all fitted estimators inside it."""
    yield estimator
    for inner in _inner(estimator):
        if hasattr(inner, "get_params"):
            yield from parts_of(inner)


def _inner(estimator: Any) -> Iterator[Any]:
    for _, step in getattr(estimator, "steps", []):
        yield step
    for _, step, *_ in getattr(estimator, "transformers_", []):
        yield step
    members = getattr(estimator, "estimators_", [])
    # Gradient boosting keeps them as an array [stages, classes], everything else as a list.
    yield from members.ravel() if isinstance(members, np.ndarray) else members
    for calibrated in getattr(estimator, "calibrated_classifiers_", []):
        yield calibrated.estimator
    if type(estimator).__name__ == "FrozenEstimator":
        yield estimator.estimator
    for name in ("estimator_", "final_estimator_", "best_estimator_", "regressor_"):
        if hasattr(estimator, name):
            yield getattr(estimator, name)


def _floor_thresholds(estimator: Any) -> None:
    """Histogram gradient boosting compares in float64, ONNX in float32.

    For a float32 ``x``, ``x <= t`` says the same as ``x <= t'`` if ``t'`` is the largest float32
    that is not above ``t``; the nearest float32 may lie above it and swallow a value between.
    """
    for group in getattr(estimator, "_predictors", []):
        for predictor in group if isinstance(group, list) else [group]:
            nodes = predictor.nodes
            nodes["num_threshold"] = floor_float32(nodes["num_threshold"])
