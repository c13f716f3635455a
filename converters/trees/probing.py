"""Rows at which a tree decides: at each threshold, and one float32 on either side of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ConversionError
from converters.trees import floats
from converters.trees.ensemble import Ensemble
from converters.trees.readers import is_tree_model, read

MOST: Final = 10_000
"""Nodes that are probed; of more, so many spread evenly over all."""


def ensemble_of(model: Any, dtype: Any = np.float32) -> Ensemble | None:
    """Return the trees of a model whose features are the rows themselves; ``None`` of any other.

    Args:
        model: an estimator.
        dtype: of its rows: thresholds that are compared in float64 stay so if these are.
    """
    steps = _steps(model)
    return _trees(steps[0], dtype) if len(steps) == 1 else None


def behind(model: Any) -> tuple[Callable[[Any], NDArray[Any]], Ensemble] | None:
    """Return the transformers of a Pipeline as a function of rows, and the trees behind them.

    ``None`` of other models.
    """
    steps = _steps(model)
    trees = _trees(steps[-1], np.float64) if len(steps) > 1 else None
    if trees is None:
        return None

    def transform(table: Any) -> NDArray[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step in steps[:-1]:
                table = step.transform(table)
        return np.asarray(table.toarray() if hasattr(table, "toarray") else table)

    return transform, trees


def _steps(model: Any) -> list[Any]:
    steps = [step for _, step in getattr(model, "steps", []) if step not in (None, "passthrough")]
    return steps or [model]


def _trees(model: Any, dtype: Any) -> Ensemble | None:
    try:
        rounding = floats.exact if dtype == np.float64 else floats.at_most
        return read(model, rounding).ensemble if is_tree_model(model) else None
    except (ConversionError, KeyError):
        return None


Rows = NDArray[Any]


def at_thresholds(ensemble: Ensemble, X: Rows) -> Rows:
    """Return four rows for each node that a row of ``X`` [N, width] reaches.

    Each is that row with one feature set to the threshold, to the float32 below or above it, or to
    the short decimal that float32 does not tell from it: people's numbers are short decimals.
    """
    passers = ensemble.passers(X)
    nodes = _chosen(ensemble, passers >= 0, MOST)
    feature, threshold = ensemble.feature[nodes], ensemble.threshold[nodes]
    near = floats.ordinals(floats.nearest(threshold))
    low, high = floats.infinities(np.float32)  # beyond them are bits that are no numbers
    below, above = np.maximum(near - 1, low), np.minimum(near + 1, high)
    neighbours = (floats.from_ordinals(below), floats.from_ordinals(above))
    parts = []
    for values in (*neighbours, threshold, _short_decimals(threshold)):
        rows = X[passers[nodes]].copy()
        rows[np.arange(len(nodes)), feature] = values
        parts.append(rows)
    probes: Rows = np.concatenate(parts)
    return probes[~np.isinf(probes).any(axis=1)]


def _short_decimals(threshold: NDArray[Any]) -> NDArray[Any]:
    """Return thresholds to six digits, where float32 takes that for the threshold."""
    short = np.array([float(f"{value:.6g}") for value in threshold.tolist()])
    same = floats.nearest(short) == floats.nearest(threshold)
    return np.where(same, short, threshold).astype(threshold.dtype)


def _chosen(ensemble: Ensemble, reached: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Return nodes that compare with a threshold, ``most`` of them, spread evenly."""
    nodes: NDArray[np.int64] = np.setdiff1d(np.flatnonzero(reached), list(ensemble.members))
    chosen: NDArray[np.int64] = nodes[_spread(len(nodes), most)]
    return chosen


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


BISECTED: Final = 1_000
"""Nodes behind transformers that are probed."""

HALVINGS: Final = 60
"""Float32 numbers of one sign lie fewer halvings than this apart."""


MARGIN: Final = np.float32(32)
"""Steps from a threshold at which roundings of float32 decide no longer."""


def around_thresholds(features: Callable[[Rows], Rows], ensemble: Ensemble, X: Rows) -> Rows:
    """Return two float32 rows for each node: neighbours, one on either side of its threshold.

    Args:
        features: the numbers that the trees compare, of rows [N, width].
        ensemble: the trees.
        X: rows [N, width] among which a way through each node is looked for.
    """
    low, high = ensemble.straddlers(features(X).astype(ensemble.threshold.dtype))
    nodes = _chosen(ensemble, (low >= 0) & (high >= 0), BISECTED)
    feature, threshold = ensemble.feature[nodes], ensemble.threshold[nodes]
    left, right = (X[rows[nodes]].astype(np.float32) for rows in (low, high))
    for _ in range(HALVINGS if len(nodes) else 0):
        middle = left + (right - left) / 2
        if ((middle == left) | (middle == right) | np.isnan(middle)).all():
            break
        numbers = features(middle.astype(X.dtype))[np.arange(len(nodes)), feature]
        goes_left = (numbers.astype(threshold.dtype) <= threshold)[:, None]
        left, right = np.where(goes_left, middle, left), np.where(goes_left, right, middle)
    if X.dtype == np.float64:
        return np.concatenate([left, right]).astype(np.float64)
    # scikit-learn's own arithmetic is float32 then: some steps from a threshold it is sure.
    step = MARGIN * (right - left)
    rows: Rows = np.concatenate([left - step, right + step])
    numbers = features(rows)[np.arange(len(rows)), np.tile(feature, 2)]
    away = np.abs(numbers - np.tile(threshold, 2))
    sure: Rows = rows[away > MARGIN * np.finfo(np.float32).eps * np.abs(numbers)]
    return sure


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
            [*sorted(categories), max(categories) + 1, max(categories) + 1000], X.dtype
        )
        rows = X[np.arange(len(values)) % len(X)].copy()
        rows[:, feature] = values
        parts.append(rows)
    return np.concatenate(parts)
