"""From a library's tree to nodes of an ensemble, without what no row can reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.trees import floats
from converters.trees.ensemble import Floats, Ints
from converters.trees.growing import Grower

Bounds = dict[int, tuple[int, int, bool]]
"""For features that the path has asked about: lowest and highest order, whether NaN comes by."""

EVERYTHING = (floats.LOWEST, floats.HIGHEST, True)


@dataclass(frozen=True)
class Tree:
    """One tree as a library has it: each node has one parent, ``root`` has none.

    Attributes are those of :class:`~converters.trees.ensemble.Ensemble`; a child below zero is
    ``~`` a row of ``values``.
    """

    feature: Ints
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    left: Ints
    right: Ints
    values: Floats
    root: int = 0
    members: Mapping[int, tuple[float, ...]] = field(default_factory=dict)


def plant(grower: Grower, tree: Tree) -> None:
    """Add ``tree`` to what ``grower`` collects."""
    built: dict[int, int] = {}
    for node, sides in reversed(list(_reachable(tree))):
        left, right = (_child(grower, tree, built, side) for side in sides)
        split = (
            int(tree.feature[node]),
            0.0 if node in tree.members else float(tree.threshold[node]) + 0.0,
            bool(tree.missing_left[node]),
            tree.members.get(node),
            left,
            right,
        )
        built[node] = grower.split(split)
    grower.roots.append(_child(grower, tree, built, tree.root))


def _child(grower: Grower, tree: Tree, built: dict[int, int], child: int) -> int:
    return built[child] if child >= 0 else grower.leaf(tree.values[~child].tolist())


def _reachable(tree: Tree) -> Iterator[tuple[int, tuple[int, int]]]:
    """Nodes that some row comes by, parents first, with their children.

    Where all rows that come by go one way, both children are that one.
    """
    orders = floats.order(tree.threshold).tolist()
    features, missing = tree.feature.tolist(), tree.missing_left.tolist()
    lefts, rights = tree.left.tolist(), tree.right.tolist()
    waiting: list[tuple[int, Bounds]] = [(tree.root, {})] if tree.root >= 0 else []
    while waiting:
        node, bounds = waiting.pop()
        sides = (lefts[node], rights[node])
        if node in tree.members:
            ways = (bounds, bounds)
        else:
            came = bounds.get(features[node], EVERYTHING)
            ways, sides = _ways(bounds, features[node], came, orders[node], missing[node], sides)
        yield node, sides
        waiting += [(s, w) for s, w in dict(zip(sides, ways, strict=True)).items() if s >= 0]


def _ways(
    bounds: Bounds,
    feature: int,
    came: tuple[int, int, bool],
    threshold: int,
    missing_left: bool,
    sides: tuple[int, int],
) -> tuple[tuple[Bounds, Bounds], tuple[int, int]]:
    """Bounds to the left and to the right, and the children; one child twice if one way is shut."""
    low, high, nan = came
    left = (low, min(high, threshold), nan and missing_left)
    right = (max(low, threshold + 1), high, nan and not missing_left)
    ways = ({**bounds, feature: left}, {**bounds, feature: right})
    if left[0] > left[1] and not left[2]:
        return (ways[1], ways[1]), (sides[1], sides[1])
    if right[0] > right[1] and not right[2]:
        return (ways[0], ways[0]), (sides[0], sides[0])
    return ways, sides
