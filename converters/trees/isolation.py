"""IsolationForest: how soon trees set a row apart, as one ensemble (Liu, Ting, Zhou 2008)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.trees.builder import EnsembleBuilder
from converters.trees.library_tree import sklearn_tree
from converters.trees.tree_model import TreeModel, base_of


def isolation_forest(model: Any) -> TreeModel:
    """Read an IsolationForest; answers are the paper's score, near 1 for outliers.

    The score is ``2 ** -(mean depth / expected depth)``, so a leaf adds
    ``-ln 2 * depth / expected`` and the link is ``exp``.
    """
    from sklearn.ensemble._iforest import _average_path_length

    trees = [tree.tree_ for tree in model.estimators_]
    expected = len(trees) * float(_average_path_length(np.array([model._max_samples]))[0])
    builder = EnsembleBuilder(int(model.n_features_in_))
    for tree, features in zip(trees, model.estimators_features_, strict=True):
        # A leaf with several rows stands for the subtree that would have split them.
        depth = _depths(tree) + _average_path_length(tree.n_node_samples)
        share = depth / expected if expected else np.full(len(depth), 1 / len(trees))
        values = -np.log(2) * share
        remapped = sklearn_tree(tree, values[:, None])
        builder.add(replace(remapped, feature=np.asarray(features)[remapped.feature]))
    return TreeModel(builder.ensemble(), base_of(0, 1), link="exp")


def _depths(tree: Any) -> NDArray[np.float64]:
    """Return the number of splits above each node."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # children come after their parents
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth
