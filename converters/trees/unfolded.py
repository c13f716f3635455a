"""Nodes of an ensemble one by one, as the operators want them: nothing shared but leaves.

Onnxruntime refuses a node with two parents. Nodes come tree by tree, each before its left side and
that before its right side: numbers are small, those of neighbours similar, and they compress well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.trees.ensemble import Ensemble, Ints


@dataclass(frozen=True)
class Unfolded:
    """Nodes in the order of the file.

    Attributes:
        source: number of the node in the ensemble, [nodes].
        left: child: a place in this order, or ``~leaf``, [nodes].
        right: likewise.
        roots: places of the trees' first nodes, [trees].
        tree: number of a node's tree, [nodes].
    """

    source: Ints
    left: Ints
    right: Ints
    roots: Ints
    tree: Ints


def unfold(ensemble: Ensemble) -> Unfolded:
    """Return the nodes of every tree, parents first.

    No tree may be a bare leaf: see :meth:`Ensemble.rooted`.
    """
    lefts, rights = ensemble.left.tolist(), ensemble.right.tolist()
    rows: list[list[int]] = []
    roots = []
    for tree, root in enumerate(ensemble.roots.tolist()):
        roots.append(len(rows))
        waiting = [(root, -1, 0)]
        while waiting:
            node, parent, side = waiting.pop()
            if parent >= 0:
                rows[parent][side] = len(rows)
            row = [node, lefts[node], rights[node], tree]
            waiting += [(row[s], len(rows), s) for s in (2, 1) if row[s] >= 0]
            rows.append(row)
    table = np.array(rows, np.int64).reshape(-1, 4)
    return Unfolded(table[:, 0], table[:, 1], table[:, 2], np.array(roots), table[:, 3])
