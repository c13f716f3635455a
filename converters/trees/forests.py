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
    """A tree, a forest, extremely randomized or not; a classifier or a regressor."""
    trees = [tree.tree_ for tree in getattr(model, "estimators_", [model])]
    classes = len(model.classes_) if hasattr(model, "classes_") else 0
    return voting(trees, int(model.n_features_in_), classes)


def voting(trees: Sequence[Any], width: int, classes: int) -> Grown:
    """The average of the leaves of scikit-learn trees."""
    grower = Grower(width)
    for tree in trees:
        plant(grower, tree_of(tree, _shares(tree) if classes else tree.value[:, :, 0]))
    ensemble = grower.ensemble()
    if classes == 2 and (np.count_nonzero(ensemble.leaves, axis=1) > 1).any():
        ensemble = _second_class(trees, width)
    return Grown(ensemble, base_of(0, ensemble.targets), average=True, classes=classes)


def _second_class(trees: Sequence[Any], width: int) -> Any:
    grower = Grower(width)
    for tree in trees:
        plant(grower, tree_of(tree, _shares(tree)[:, 1:]))
    return grower.ensemble()


def _shares(tree: Any) -> NDArray[np.float64]:
    """Shares of the classes at every node; older versions of scikit-learn keep counts there."""
    values = tree.value[:, 0, :]
    return np.asarray(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-300))
