"""Trees and forests of scikit-learn, whose leaves vote or are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.trees import floats
from converters.trees.growing import Grower
from converters.trees.grown import Grown, base_of
from converters.trees.planting import Tree, plant


def tree_of(grown: Any, values: NDArray[np.float64]) -> Tree:
    """A scikit-learn ``tree_`` with other leaf ``values``, [all nodes, targets]."""
    inner = grown.children_left >= 0
    place = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1))
    missing = getattr(grown, "missing_go_to_left", np.zeros(len(inner)))
    return Tree(
        grown.feature[inner],
        floats.at_most(grown.threshold[inner]),
        missing[inner].astype(bool),
        place[grown.children_left[inner]],
        place[grown.children_right[inner]],
        values[~inner],
        int(place[0]),
    )


def forest(model: Any) -> Grown:
    """A tree, a forest, extremely randomized or not; a classifier or a regressor.

    The classes of several classified columns stand side by side.
    """
    trees = [tree.tree_ for tree in getattr(model, "estimators_", [model])]
    width = int(model.n_features_in_)
    if not hasattr(model, "classes_"):
        return averaged([tree_of(t, t.value[:, :, 0]) for t in trees], width)
    sizes = np.atleast_1d(model.n_classes_).tolist()
    first = 1 if sizes == [2] else 0  # the second of two classes says it all
    shares = [tree_of(tree, _shares(tree, sizes)[:, first:]) for tree in trees]
    return averaged(shares, width, sum(sizes))


def averaged(trees: Sequence[Tree], width: int, classes: int = 0) -> Grown:
    """The average of the leaves of trees."""
    grower = Grower(width)
    for tree in trees:
        plant(grower, tree)
    ensemble = grower.ensemble()
    return Grown(ensemble, base_of(0, ensemble.targets), average=True, classes=classes)


def _shares(tree: Any, sizes: Sequence[int]) -> NDArray[np.float64]:
    """Shares of the classes at every node; older versions of scikit-learn keep counts there."""
    columns = [tree.value[:, k, :size] for k, size in enumerate(sizes)]
    return np.hstack([c / np.maximum(c.sum(axis=1, keepdims=True), 1e-300) for c in columns])
