"""Rows that stand exactly where a tree decides: at each threshold, and one float32 beside it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.trees import floats
from converters.trees.ensemble import Ensemble
from converters.trees.readers import is_tree_model, read

MOST: Final = 10_000
"""Nodes that are probed; of more, as many spread over all."""


def ensemble_of(model: Any) -> Ensemble | None:
    """The trees of a model whose features are the rows themselves; ``None`` of any other."""
    last = model
    for _, step in getattr(model, "steps", []):
        if last is not model:
            return None
        last = step if step not in (None, "passthrough") else last
    try:
        return read(last).ensemble if is_tree_model(last) else None
    except (ConversionError, KeyError):
        return None


Rows = NDArray[np.float32]


def at_thresholds(ensemble: Ensemble, X: Rows) -> Rows:
    """Three rows for each node that a row of ``X`` [N, width] comes by; the rest of it stays."""
    passers = ensemble.passers(X)
    known = np.setdiff1d(np.flatnonzero(passers >= 0), list(ensemble.members))
    known = known[np.linspace(0, len(known) - 1, min(MOST, len(known))).astype(int)]
    feature, threshold = ensemble.feature[known], floats.ordinals(ensemble.threshold[known])
    parts = []
    for step in (-1, 0, 1):
        rows = X[passers[known]].copy()
        rows[np.arange(len(known)), feature] = floats.from_ordinals(threshold + step)
        parts.append(rows)
    made: Rows = np.concatenate(parts)
    return made[~np.isinf(made).any(axis=1)]


def at_members(ensemble: Ensemble, X: Rows) -> Rows:
    """A row for every value that a set of categories asks for, and values that none does."""
    asked: dict[int, set[float]] = {}
    for node, members in ensemble.members.items():
        asked.setdefault(int(ensemble.feature[node]), set()).update(members)
    parts = [X[:0]]
    for feature, known in sorted(asked.items()):
        values = np.array([*sorted(known), max(known) + 1, max(known) + 1000], np.float32)
        rows = X[np.arange(len(values)) % len(X)].copy()
        rows[:, feature] = values
        parts.append(rows)
    return np.concatenate(parts)
