"""One tree as a library wrote it, before it joins an ensemble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.trees import floats

Interval = tuple[int, int, bool]
"""Lowest and highest ordinal (:func:`converters.trees.floats.ordinals`) of the values of a feature
that reach a node, and whether a missing value does."""

Bounds = dict[int, Interval]
"""Intervals by feature, for the features that the path has compared so far."""


@dataclass(frozen=True)
class Tree:
    """One tree as a library has it: each node has one parent, ``root`` has none.

    Attributes are those of :class:`~converters.trees.ensemble.Ensemble`; a child below zero is
    ``~`` a row of ``values``.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.floating[Any]]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    values: NDArray[np.float64]
    root: int = 0
    members: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    def reachable(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield nodes that some row can reach, parents first, with their children.

        Where all rows that reach a node go one way, both children are that one.
        """
        thresholds = floats.ordinals(self.threshold).tolist()
        everything = (*floats.infinities(self.threshold.dtype), True)
        features, missing = self.feature.tolist(), self.missing_left.tolist()
        lefts, rights = self.left.tolist(), self.right.tolist()
        # A stack, not recursion: degenerate trees are deeper than Python's stack.
        waiting: list[tuple[int, Bounds]] = [(self.root, {})] if self.root >= 0 else []
        while waiting:
            node, bounds = waiting.pop()
            children = (lefts[node], rights[node])
            if node in self.members:
                # An interval cannot say which members are left, so sets narrow nothing.
                ways = (bounds, bounds)
            else:
                interval = bounds.get(features[node], everything)
                ways, children = _narrowed(
                    bounds, features[node], interval, thresholds[node], missing[node], children
                )
            yield node, children
            # A dict: one child twice is visited once.
            below = dict(zip(children, ways, strict=True))
            waiting += [(child, way) for child, way in below.items() if child >= 0]


def _narrowed(
    bounds: Bounds,
    feature: int,
    interval: Interval,
    threshold: int,
    missing_left: bool,
    children: tuple[int, int],
) -> tuple[tuple[Bounds, Bounds], tuple[int, int]]:
    """Return the bounds left and right, and the children; one child twice if one way is shut."""
    low, high, missing = interval
    left = (low, min(high, threshold), missing and missing_left)
    # Ordinals are whole numbers: "above the threshold" is "from the next one on".
    right = (max(low, threshold + 1), high, missing and not missing_left)
    ways = ({**bounds, feature: left}, {**bounds, feature: right})
    if left[0] > left[1] and not left[2]:
        return (ways[1], ways[1]), (children[1], children[1])
    if right[0] > right[1] and not right[2]:
        return (ways[0], ways[0]), (children[0], children[0])
    return ways, children


def sklearn_tree(tree: Any, values: NDArray[np.float64]) -> Tree:
    """Return a scikit-learn ``tree_`` with other leaf values.

    Args:
        tree: the ``tree_`` of a fitted decision tree.
        values: of all nodes; those of inner nodes are not read, [nodes and leaves, targets].
    """
    inner = tree.children_left >= 0
    # scikit-learn numbers nodes and leaves together; here each kind has numbers of its own.
    place = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1))
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(inner)))
    return Tree(
        tree.feature[inner],
        floats.at_most(tree.threshold[inner]),
        missing[inner].astype(bool),
        place[tree.children_left[inner]],
        place[tree.children_right[inner]],
        values[~inner],
        int(place[0]),
    )


def on_target(values: Any, target: int, targets: int) -> NDArray[np.float64]:
    """Return leaf values of a tree that adds to one target alone.

    Args:
        values: one number a leaf, [leaves].
        target: column that they go into.
        targets: number of columns.

    Returns:
        [leaves, targets], zeros in the other columns.
    """
    columns = np.zeros((len(values), targets))
    columns[:, target] = values
    return columns
