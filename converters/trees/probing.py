"""Rows at which a tree decides: at each threshold, and one float32 on either side of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.trees import floats
from converters.trees.ensemble import Ensemble
from converters.trees.readers import is_tree_model, read

MOST: Final = 10_000
"""Nodes that are probed; of more, so many spread evenly over all."""


def ensemble_of(model: Any) -> Ensemble | None:
    """Return the trees of a model whose features are the rows themselves; ``None`` of any other."""
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
    """Return three rows for each node that a row of ``X`` [N, width] reaches.

    Each is that row with one feature set to the threshold, or to the float32 below or above it.
    """
    passers = ensemble.passers(X)
    nodes = np.setdiff1d(np.flatnonzero(passers >= 0), list(ensemble.members))
    nodes = nodes[np.linspace(0, len(nodes) - 1, min(MOST, len(nodes))).astype(int)]
    feature, threshold = ensemble.feature[nodes], floats.ordinals(ensemble.threshold[nodes])
    parts = []
    for step in (-1, 0, 1):
        rows = X[passers[nodes]].copy()
        rows[np.arange(len(nodes)), feature] = floats.from_ordinals(threshold + step)
        parts.append(rows)
    probes: Rows = np.concatenate(parts)
    return probes[~np.isinf(probes).any(axis=1)]


def at_members(ensemble: Ensemble, X: Rows) -> Rows:
    """Return rows for every value in a set of categories, and for values that are in none.

    Args:
        ensemble: the trees.
        X: rows [N, width] whose other features are taken.
    """
    by_feature: dict[int, set[float]] = {}
    for node, members in ensemble.members.items():
        by_feature.setdefault(int(ensemble.feature[node]), set()).update(members)
    parts = [X[:0]]
    for feature, categories in sorted(by_feature.items()):
        values = np.array(
            [*sorted(categories), max(categories) + 1, max(categories) + 1000], np.float32
        )
        rows = X[np.arange(len(values)) % len(X)].copy()
        rows[:, feature] = values
        parts.append(rows)
    return np.concatenate(parts)
