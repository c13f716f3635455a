"""Repairs of estimators that an exporter would otherwise get silently wrong.

The repaired copy answers exactly as the original does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np


def repaired(estimator: Any) -> Any:
    """Return a copy of a fitted estimator that exports without loss."""
    copied = copy.deepcopy(estimator)
    for part in parts_of(copied):
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
    for _, step in getattr(estimator, "transformer_list", []):
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
