"""Trees that a library writes down as nodes inside nodes, as flat arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.trees import floats
from converters.trees.library_tree import Tree


@dataclass(frozen=True)
class Fork:
    """A node that asks something; ``threshold`` in float64, ``x <= threshold`` goes left."""

    feature: int
    threshold: float
    missing_left: bool
    left: Any
    right: Any
    members: tuple[float, ...] | None = None


def flatten(root: Any, look: Callable[[Any], Fork | Sequence[float]]) -> Tree:
    """The tree below ``root``; ``look`` tells of each node what it asks, or what its leaf adds."""
    forks: list[Fork] = []
    sides: list[list[int]] = []
    values: list[Sequence[float]] = []
    top = [0]
    waiting: list[tuple[Any, list[int], int]] = [(root, top, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        seen = look(node)
        if not isinstance(seen, Fork):
            parent[side] = ~len(values)
            values.append(seen)
            continue
        parent[side] = len(forks)
        forks.append(seen)
        sides.append([0, 0])
        waiting += [(seen.right, sides[-1], 1), (seen.left, sides[-1], 0)]
    children = np.array(sides, np.int64).reshape(-1, 2)
    return Tree(
        np.array([fork.feature for fork in forks], np.int64),
        floats.at_most(np.array([fork.threshold for fork in forks], np.float64)),
        np.array([fork.missing_left for fork in forks], np.bool_),
        children[:, 0],
        children[:, 1],
        np.array(values, np.float64),
        top[0],
        {i: fork.members for i, fork in enumerate(forks) if fork.members is not None},
    )
