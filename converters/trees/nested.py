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
    """A split of a nested tree.

    Attributes:
        feature: column that it compares.
        threshold: in float64; ``x <= threshold`` goes left.
        missing_left: whether a missing value goes left.
        left: the library's own node.
        right: likewise.
        members: values that go left, of a split by set.
    """

    feature: int
    threshold: float
    missing_left: bool
    left: Any
    right: Any
    members: tuple[float, ...] | None = None


def flatten(
    root: Any,
    parse: Callable[[Any], Fork | Sequence[float]],
    rounding: floats.Rounding = floats.at_most,
) -> Tree:
    """Return the tree below ``root`` as flat arrays.

    Args:
        root: the library's own node.
        parse: returns the split of a node, or the values [targets] of a leaf.
        rounding: of thresholds.
    """
    forks: list[Fork] = []
    sides: list[list[int]] = []
    values: list[Sequence[float]] = []
    top = [0]
    waiting: list[tuple[Any, list[int], int]] = [(root, top, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        parsed = parse(node)
        if not isinstance(parsed, Fork):
            parent[side] = ~len(values)
            values.append(parsed)
            continue
        parent[side] = len(forks)
        forks.append(parsed)
        sides.append([0, 0])
        waiting += [(parsed.right, sides[-1], 1), (parsed.left, sides[-1], 0)]
    children = np.array(sides, np.int64).reshape(-1, 2)
    return Tree(
        np.array([fork.feature for fork in forks], np.int64),
        rounding(np.array([fork.threshold for fork in forks], np.float64)),
        np.array([fork.missing_left for fork in forks], np.bool_),
        children[:, 0],
        children[:, 1],
        np.array(values, np.float64),
        top[0],
        {i: fork.members for i, fork in enumerate(forks) if fork.members is not None},
    )
