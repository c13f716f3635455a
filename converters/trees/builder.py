"""Building an ensemble from trees; what cannot be told apart exists once.

Every node goes through :meth:`EnsembleBuilder.split`, children first: equal leaves, equal subtrees
and equal trees are one, and a split whose sides are equal is no split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.trees.ensemble import Ensemble
from converters.trees.library_tree import Tree

Members = tuple[float, ...]
Split = tuple[int, float, bool, Members | None, int, int]
"""Feature, threshold, missing goes left, members, left child, right child."""


@dataclass
class EnsembleBuilder:
    """Collects nodes and leaves for :meth:`ensemble`.

    Attributes:
        width: number of features.
        dtype: of the thresholds: float32, or float64.
        splits: number of each node, by its content. Children come before their parents.
        leaves: number of each leaf, by its values.
        roots: one for each tree: a node, or ``~leaf``.
    """

    width: int
    dtype: Any = np.float32
    splits: dict[Split, int] = field(default_factory=dict)
    leaves: dict[tuple[float, ...], int] = field(default_factory=dict)
    roots: list[int] = field(default_factory=list)

    def add(self, tree: Tree) -> None:
        """Add a tree, without the nodes that no row can reach."""
        numbers: dict[int, int] = {}

        def child(place: int) -> int:
            return numbers[place] if place >= 0 else self.leaf(tree.values[~place].tolist())

        for node, (left, right) in reversed(list(tree.reachable())):
            split = (
                int(tree.feature[node]),
                # + 0.0 makes -0.0 the same key as 0.0; a node with members compares nothing.
                0.0 if node in tree.members else float(tree.threshold[node]) + 0.0,
                bool(tree.missing_left[node]),
                tree.members.get(node),
                child(left),
                child(right),
            )
            numbers[node] = self.split(split)
        self.roots.append(child(tree.root))

    def leaf(self, values: Sequence[float]) -> int:
        """Return a leaf that adds ``values``, one for each target, as ``~number``."""
        key = tuple(float(v) + 0.0 for v in values)
        return ~self.leaves.setdefault(key, len(self.leaves))

    def split(self, split: Split) -> int:
        """Return the number of a node; or a child of it, if all rows go there."""
        _, _, missing_left, members, left, right = split
        if left == right or (members == () and not missing_left):
            return right
        if members == ():  # nothing goes left but what is missing
            split = (split[0], -np.inf, True, None, left, right)
        return self.splits.setdefault(split, len(self.splits))

    def ensemble(self) -> Ensemble:
        """Return the nodes and leaves so far as an ensemble."""
        rows = list(self.splits)
        feature, threshold, missing, members, left, right = (
            zip(*rows, strict=True) if rows else ((),) * 6
        )
        return Ensemble(
            np.array(feature, np.int64),
            np.array(threshold, self.dtype),
            np.array(missing, np.bool_),
            np.array(left, np.int64),
            np.array(right, np.int64),
            np.array(list(self.leaves), np.float64),
            np.array(self.roots, np.int64),
            self.width,
            {i: values for i, values in enumerate(members) if values is not None},
        )
