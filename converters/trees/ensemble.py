"""An ensemble of trees: flat arrays of nodes, and a table of leaves that nodes share.

Invariants:

* Every comparison is ``x <= threshold``, in float32 unless rows need float64. ``x < t`` and float64
  thresholds are rewritten to the float32 threshold that routes every float32 ``x`` alike
  (:mod:`converters.trees.floats`).
* A child below zero is a leaf: ``~child`` is its row in ``leaves``. Nodes and leaves may be shared
  by several parents; there are no cycles.
* What a model does after adding up leaves (averages, links, classes) is not in here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """Trees over ``width`` features whose leaves are added up.

    Attributes:
        feature: column that a node looks at, [nodes].
        threshold: float32 or float64; ``x <= threshold`` goes left, [nodes].
        missing_left: whether a missing value goes left, [nodes].
        left: child of a node: a node, or ``~leaf``, [nodes].
        right: likewise.
        leaves: what each leaf adds to each target, float64, [leaves, targets].
        roots: the trees: a node, or ``~leaf``, [trees].
        width: number of features.
        members: nodes that ask for membership instead: the values that go left.
    """

    feature: Ints
    threshold: NDArray[np.floating[Any]]
    missing_left: NDArray[np.bool_]
    left: Ints
    right: Ints
    leaves: Floats
    roots: Ints
    width: int
    members: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    @property
    def targets(self) -> int:
        """Number of sums that the trees make."""
        return int(self.leaves.shape[1])

    @property
    def nodes(self) -> int:
        """Number of nodes, without leaves."""
        return len(self.feature)

    def with_base(self, base: Floats) -> Ensemble:
        """Return the same with values added to the sums, [targets]: each is a tree of one leaf.

        The operators' own base values are lost where no leaf adds to a target (onnxruntime 1.32).
        """
        added = np.diag(base)[base != 0]
        roots = ~np.arange(len(self.leaves), len(self.leaves) + len(added))
        leaves = np.vstack([self.leaves, added])
        return replace(self, leaves=leaves, roots=np.concatenate([roots, self.roots]))

    def rooted(self) -> Ensemble:
        """Return the same without trees of one leaf: they get a split whose sides add the same.

        Onnxruntime up to 1.32 adds such leaves twice, or not at all, if there are several targets.
        """
        bare = np.flatnonzero(self.roots < 0)
        nodes, leaves = self.nodes + np.arange(len(bare)), len(self.leaves) + np.arange(len(bare))
        roots = self.roots.copy()
        roots[bare] = nodes
        nothing = np.zeros(len(bare))
        return replace(
            self,
            feature=np.append(self.feature, nothing.astype(np.int64)),
            threshold=np.append(self.threshold, nothing.astype(self.threshold.dtype)),
            missing_left=np.append(self.missing_left, nothing.astype(np.bool_)),
            left=np.append(self.left, self.roots[bare]),
            right=np.append(self.right, ~leaves),
            leaves=np.vstack([self.leaves, self.leaves[~self.roots[bare]]]),
            roots=roots,
        )

    def leaf_of(self, X: NDArray[np.floating[Any]]) -> Ints:
        """Return the leaf that every row [N, width] ends in, [N, trees]."""
        at = np.broadcast_to(self.roots, (len(X), len(self.roots))).copy()
        for inner, _, _, children in self._descent(X, at):
            at[inner] = children
        return ~at

    def passers(self, X: NDArray[np.floating[Any]]) -> Ints:
        """Return for every node a row of ``X`` [N, width] that reaches it, else -1: [nodes]."""
        passer = np.full(self.nodes, -1, np.int64)
        at = np.broadcast_to(self.roots, (len(X), len(self.roots))).copy()
        for inner, node, row, children in self._descent(X, at):
            passer[node] = row
            at[inner] = children
        return passer

    def straddlers(self, X: NDArray[np.floating[Any]]) -> tuple[Ints, Ints]:
        """Return for every node a row of ``X`` that goes left, and one that goes right: [nodes].

        -1 where there is none.
        """
        left, right = np.full(self.nodes, -1, np.int64), np.full(self.nodes, -1, np.int64)
        at = np.broadcast_to(self.roots, (len(X), len(self.roots))).copy()
        for inner, node, row, children in self._descent(X, at):
            goes_left = children == self.left[node]
            left[node[goes_left]] = row[goes_left]
            right[node[~goes_left]] = row[~goes_left]
            at[inner] = children
        return left, right

    def _descent(
        self, X: NDArray[np.floating[Any]], at: Ints
    ) -> Iterator[tuple[Any, Ints, Ints, Ints]]:
        """Descend one level at a time, while some of ``at`` [N, trees] are nodes.

        Yields:
            Where they are in ``at``, the nodes, their rows, and the children that the rows go to.
        """
        rows = np.broadcast_to(np.arange(len(X))[:, None], at.shape)
        while (inner := at >= 0).any():
            node, row = at[inner], rows[inner]
            left = self._goes_left(node, X[row, self.feature[node]])
            yield inner, node, row, np.where(left, self.left[node], self.right[node])

    def _goes_left(self, node: Ints, x: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        left: NDArray[np.bool_] = x <= self.threshold[node]  # False for NaN
        for member in set(self.members).intersection(np.unique(node).tolist()):
            here = node == member
            left[here] = np.isin(x[here], np.array(self.members[member], x.dtype))
        left |= np.isnan(x) & self.missing_left[node]
        return left

    def sums(self, X: NDArray[np.floating[Any]]) -> Floats:
        """Return the reference: sums of the trees for rows [N, width], float64 [N, targets]."""
        total = np.zeros((len(X), self.targets))
        for leaf in self.leaf_of(X).T:
            total += self.leaves[leaf]
        return total
