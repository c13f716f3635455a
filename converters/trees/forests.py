"""Trees and forests of scikit-learn, whose leaves vote or are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.trees.builder import EnsembleBuilder
from converters.trees.library_tree import Tree, sklearn_tree
from converters.trees.tree_model import TreeModel, base_of


def forest(model: Any) -> TreeModel:
    """Read a tree or a forest, extremely randomized or not, of a classifier or a regressor.

    The classes of several classified columns stand side by side.
    """
    trees = [tree.tree_ for tree in getattr(model, "estimators_", [model])]
    width = int(model.n_features_in_)
    if not hasattr(model, "classes_"):
        return averaged([sklearn_tree(t, t.value[:, :, 0]) for t in trees], width)
    sizes = np.atleast_1d(model.n_classes_).tolist()
    first = 1 if sizes == [2] else 0  # the second of two classes says it all
    shares = [sklearn_tree(tree, _shares(tree, sizes)[:, first:]) for tree in trees]
    return averaged(shares, width, sum(sizes))


def averaged(trees: Sequence[Tree], width: int, classes: int = 0) -> TreeModel:
    """Return a model that averages the leaves of trees.

    Args:
        trees: with leaf values [leaves, targets].
        width: number of features.
        classes: number of classes; 0 for a regressor.
    """
    builder = EnsembleBuilder(width)
    for tree in trees:
        builder.add(tree)
    ensemble = builder.ensemble()
    return TreeModel(ensemble, base_of(0, ensemble.targets), average=True, classes=classes)


def _shares(tree: Any, sizes: Sequence[int]) -> NDArray[np.float64]:
    """Return shares of the classes at every node; older scikit-learn has counts there."""
    columns = [tree.value[:, k, :size] for k, size in enumerate(sizes)]
    return np.hstack([c / np.maximum(c.sum(axis=1, keepdims=True), 1e-300) for c in columns])
