"""Putting an ensemble together node by node; what cannot be told apart exists once.

Every node goes through :meth:`Grower.split`, children first: equal leaves, equal subtrees and equal
trees are one, and a split whose sides are equal is no split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.trees.ensemble import Ensemble

Members = tuple[float, ...]
Split = tuple[int, float, bool, Members | None, int, int]
"""Feature, threshold, missing goes left, members, left child, right child."""


@dataclass
class Grower:
    """Collects nodes and leaves; :meth:`ensemble` hands them over."""

    width: int
    splits: dict[Split, int] = field(default_factory=dict)
    leaves: dict[tuple[float, ...], int] = field(default_factory=dict)
    roots: list[int] = field(default_factory=list)

    def leaf(self, values: Sequence[float]) -> int:
        """A leaf that adds ``values``, one for each target."""
        key = tuple(float(v) + 0.0 for v in values)
        return ~self.leaves.setdefault(key, len(self.leaves))

    def split(self, split: Split) -> int:
        """A node; or a child of it, if all rows go there."""
        _, _, missing_left, members, left, right = split
        if left == right or (members == () and not missing_left):
            return right
        if members == ():  # nothing goes left but what is missing
            split = (split[0], -np.inf, True, None, left, right)
        return self.splits.setdefault(split, len(self.splits))

    def ensemble(self) -> Ensemble:
        """What was collected."""
        rows = list(self.splits)
        feature, threshold, missing, members, left, right = (
            zip(*rows, strict=True) if rows else ((),) * 6
        )
        return Ensemble(
            np.array(feature, np.int64),
            np.array(threshold, np.float32),
            np.array(missing, np.bool_),
            np.array(left, np.int64),
            np.array(right, np.int64),
            np.array(list(self.leaves), np.float64),
            np.array(self.roots, np.int64),
            self.width,
            {i: chosen for i, chosen in enumerate(members) if chosen is not None},
        )
